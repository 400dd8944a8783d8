# SPDX-License-Identifier: Apache-2.0
"""What the campaigns of the command share: lines over small data, what each leaves when nothing disturbs it, and findings."""
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import h5py
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "cli"))
from data import digits, make_pool, png  # noqa: E402
from support import Failure, check, same_bits, same_file, same_runs  # noqa: E402

DOCUMENTED = (0, 64, 65, 66, 69, 70, 73, 74, 75, 78)
KEEPING = ("train", "score", "logits", "run", "images", "select")  # lines that may end with 75
RUN = ("data: {train: train.h5, test: test.h5}\nnetwork: lenet5\nstrategies: [dfal, random]\ninitial: 10\nquery: 5\n"
       "annotations: 20\ntrials: 1\ntraining: {restarts: 1, epochs: 2, validation: 0}\n")


def same_run(first, second):
    """Two run directories; times, the log and the page may differ, but are there."""
    same_runs(first, second)
    for name in ("report.html", "config.yaml", "log.jsonl"):
        check(os.path.exists(os.path.join(second, name)), f"{second} has no {name}")


def same(first, second):
    compare = same_run if os.path.isdir(first) else same_bits if first.endswith(".h5") else same_file
    check(os.path.exists(second), f"{second} is missing")
    try:
        compare(first, second)
    except OSError as error:
        raise Failure(f"{second} cannot be read: {error}") from error


class Lines:
    """A folder with inputs, and lines by name: words, then the outputs, the first of which is that of -o."""

    def __init__(self, dfal, rows):
        self.dfal, self.folder = os.path.abspath(dfal), tempfile.mkdtemp(prefix="dfal-campaign-")
        self.seconds = {}
        os.mkdir(self.at("img"))
        for i in range(24):
            with open(self.at(f"img/{i}.png"), "wb") as file:
                file.write(png(np.full((30, 30, 3), i * 9)))
        samples, labels = digits(rows, 3)
        np.save(self.at("x.npy"), samples)
        np.savez_compressed(self.at("x.npz"), samples=samples, labels=labels)
        make_pool(self.at("train.h5"), min(rows, 400), 1)
        make_pool(self.at("test.h5"), 64, 2)
        make_pool(self.at("pool.h5"), rows, 3)
        for name, text in (("run.yaml", RUN), ("labels.csv", "id,label\n")):
            with open(self.at(name), "w", encoding="utf-8") as file:
                file.write(text)
        self.done("train", "--net", "lenet5", "train.h5", "-o", "net.h5", "--epochs", "2")
        for k in (1, 2):
            self.done("score", "net.h5", "pool.h5", "--max-iter", "1", "--classes", "2", "--shard", f"{k}/2", "-o", f"s{k}.h5")
        self.inputs = set(os.listdir(self.folder))
        self.all = {
            "synth": (["synth", "-n", str(max(rows // 4, 40))], ["o.h5"]),
            "npy": (["import", "npy", "x.npy"], ["o.h5"]),
            "npz": (["import", "npz", "x.npz"], ["o.h5"]),
            "images": (["import", "images", "img", "--resize", "32", "--crop", "28"], ["o.h5"]),
            "train": (["train", "--net", "lenet5", "train.h5", "--epochs", "3"], ["o.h5"]),
            "score": (["score", "net.h5", "pool.h5", "--max-iter", "1", "--classes", "2"], ["o.h5"]),
            "logits": (["logits", "net.h5", "pool.h5"], ["o.h5"]),
            "merge": (["merge", "s1.h5", "s2.h5"], ["o.h5"]),
            "select": (["select", "net.h5", "test.h5", "--strategy", "dfal", "--count", "4", "--labels", "labels.csv",
                        "--twins", "twins.h5", "--sheet", "sheet.html"], ["q.csv", "twins.h5", "sheet.html"]),
            "run": (["run", "run.yaml"], ["d"]),
        }

    def at(self, name):
        return os.path.join(self.folder, name)

    def start(self, words, environment=None):
        def before():
            os.nice(5)
            signal.signal(signal.SIGINT, signal.SIG_DFL)

        return subprocess.Popen([self.dfal, "-q", "--threads", "1", *words], cwd=self.folder, stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=before,
                                env={**os.environ, **(environment or {})})

    def end(self, process, seconds=60):
        """Exit code and what was said, warnings left out; a hang is a failure."""
        try:
            _, said = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise Failure(f"still running after {seconds} s") from None
        lines = said.decode("utf-8", "replace").splitlines()
        return process.returncode, [line for line in lines if not line.startswith("warning:")]

    def done(self, *words, environment=None):
        code, said = self.end(self.start(words, environment), 300)
        if code:
            raise Failure(f"the undisturbed line {' '.join(words)} ends with {code}: {said}")

    def words(self, name):
        words, outputs = self.all[name]
        return [*words, "-o", outputs[0]]

    def whole(self, name, environment=None):
        """The undisturbed line, once: its outputs stay as whole-NAME-OUTPUT."""
        if name not in self.seconds:
            begin = time.monotonic()
            self.done(*self.words(name), environment=environment)
            self.seconds[name] = time.monotonic() - begin
            for output in self.all[name][1]:
                os.rename(self.at(output), self.at(f"whole-{name}-{output}"))
                self.inputs.add(f"whole-{name}-{output}")
            self.wipe()
        return self.seconds[name]

    def extra(self):
        return sorted(set(os.listdir(self.folder)) - self.inputs)

    def wipe(self):
        for name in self.extra():
            path = self.at(name)
            shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.remove(path)

    def compare(self, name):
        """All outputs are those of the undisturbed line, and nothing else is there."""
        for output in self.all[name][1]:
            same(self.at(f"whole-{name}-{output}"), self.at(output))
        self.clean()
        left = set(self.extra()) - set(self.all[name][1])
        check(not left, f"left: {sorted(left)}")

    def clean(self):
        """No temporary is left."""
        left = [entry for _, folders, files in os.walk(self.folder) for entry in folders + files if ".tmp." in entry]
        check(not left, f"temporaries are left: {left}")

    def compare_there(self, name):
        """Outputs that have their final names are whole, run directories excepted."""
        for output in self.all[name][1]:
            if os.path.isfile(self.at(output)):
                same(self.at(f"whole-{name}-{output}"), self.at(output))

    def again(self, name):
        """The same line until it ends: 0, or 73 where the output had been finished already."""
        there = [output for output in self.all[name][1] if os.path.exists(self.at(output))]
        code, said = self.end(self.start(self.words(name)))
        check(code == 0 or (code == 73 and there), f"the same line again ends with {code}: {said}")
        self.compare(name)


def campaign(usage, rows, what, attempt):
    """attempt(lines, chance) tries one thing and returns its description, or None where nothing was to be tried; a Failure
    is a finding. Case i of seed S is case 0 of seed S + i, so that a finding's number is all one needs to see it again."""
    if len(sys.argv) not in (3, 4):
        sys.exit(usage)
    count, seed = int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) == 4 else 1
    lines, tried, found, i = Lines(sys.argv[1], rows), 0, 0, 0
    while tried < count:
        lines.wipe()
        lines.case = ""
        try:
            tried += attempt(lines, random.Random(seed + i))
        except Failure as failure:
            tried, found = tried + 1, found + 1
            print(f"{lines.case}: {str(failure)[:400]}\n  again: {sys.argv[0]} {sys.argv[1]} 1 {seed + i}", flush=True)
        i += 1
        if i % 100 == 0:
            print(f"{tried} {what}, {found} findings", flush=True)
    print(f"{tried} {what}, {found} findings")
    shutil.rmtree(lines.folder)
    sys.exit(found > 0)
