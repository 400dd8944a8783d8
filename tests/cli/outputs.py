#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Outputs: never a file that is read, by whatever name; one owner until they stand; what a kill left goes."""
import os
import shutil
import signal
import struct

import numpy as np

from data import make_pool, png
from support import check, main, same_bits

GOLDEN = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "golden", "onnx")
CONFIG = ("data: {train: pool.h5, test: test.h5}\nnetwork: lenet5\nstrategies: [random]\ninitial: 10\nquery: 5\n"
          "annotations: 15\ntrials: 1\ntraining: {restarts: 1, epochs: 1, validation: 0}\n")


def write(dfal, name, content):
    with open(dfal.at(name), "wb" if isinstance(content, bytes) else "w") as file:
        file.write(content)


def read(path):
    with open(path, "rb") as file:
        return file.read()


class Pairs:
    """Try every output of a command as every one of its inputs, by every kind of name."""

    def __init__(self, dfal):
        self.dfal, self.tried = dfal, 0
        os.makedirs(dfal.at("sub"), exist_ok=True)
        if not os.path.lexists(dfal.at("folder")):
            os.symlink(".", dfal.at("folder"))

    def name(self, kind, path, end):
        """Another name of the file, that ends as the output must."""
        dfal, other = self.dfal, f"other{self.tried}{end}"
        if kind == 0:
            os.link(dfal.at(path), dfal.at(other))
        elif kind == 1:
            os.symlink(os.path.abspath(dfal.at(path)), dfal.at(other))
        elif end and not path.endswith(end):
            return self.name(self.tried % 2, path, end)
        else:
            other = (f"sub/../{path}", f"folder/{path}", path)[kind - 2]
        return other

    def __call__(self, words, option, inputs, end="", late=False):
        """late: that it is read is learnt from another input, so that without --force it is an output that exists."""
        dfal = self.dfal
        for path in inputs:
            before = read(dfal.at(path))
            for force in ((), ("--force",)):
                kind = (0, 1, 2, 3, 4)[self.tried % 5]
                self.tried += 1
                out = self.name(kind, path, end)
                if late and not force:
                    dfal.refuses(73, *words, option, out, says=out)
                else:
                    dfal.refuses(64, *words, option, out, *force, says=(os.path.basename(path), out))
                check(read(dfal.at(path)) == before, f"{words} {option} {out}: {path} was written over")
                if os.path.basename(out).startswith("other"):
                    os.remove(dfal.at(out))
        left = [name for name in os.listdir(dfal.folder) if name.endswith((".parts", ".unfinished")) or ".tmp." in name]
        check(not left, f"{words} left {left}")


def prepare(dfal):
    make_pool(dfal.at("pool.h5"), 60, 1)
    make_pool(dfal.at("test.h5"), 20, 2)
    dfal.run("-q", "train", "--net", "lenet5", "pool.h5", "--epochs", "0", "-o", "net.h5")
    write(dfal, "l.csv", "id,label\n")


def apart(dfal):
    prepare(dfal)
    pairs = Pairs(dfal)
    labels = ("--labels", "l.csv")
    dfal.run("-q", "score", "net.h5", "pool.h5", "-o", "s.h5")
    dfal.run("-q", "logits", "net.h5", "pool.h5", "-o", "lo.h5")
    for command in ("score", "logits"):
        pairs((command, "net.h5", "pool.h5", *labels), "-o", ("net.h5", "pool.h5", "l.csv"))
    pairs(("train", "--net", "net.h5", "pool.h5", *labels, "--init", "net.h5"), "-o", ("net.h5", "pool.h5", "l.csv"))
    pairs(("merge", "s.h5"), "-o", ("s.h5",))
    inputs = ("net.h5", "pool.h5", "l.csv", "s.h5", "lo.h5")
    select = ("select", "net.h5", "pool.h5", "--strategy", "dfal", "--count", "3", *labels, "--scores", "s.h5", "--logits",
              "lo.h5")
    pairs(select, "-o", inputs)
    pairs((*select, "-o", "q.csv"), "--twins", inputs)
    pairs((*select, "-o", "q.csv"), "--sheet", inputs, ".html")
    dfal.refuses(64, *select, "-o", "q.h5", "--twins", "sub/../q.h5", says="q.h5")
    # What an output's own parts and temporaries are called is no input either.
    os.mkdir(dfal.at("t.h5.parts"))
    shutil.copy(dfal.at("s.h5"), dfal.at("t.h5.parts/000000.h5"))
    shutil.copy(dfal.at("s.h5"), dfal.at("t.h5.tmp.abcdef"))
    for name in ("t.h5.parts/000000.h5", "t.h5.tmp.abcdef"):
        _, err = dfal.run("-q", "merge", name, "-o", "t.h5", code=64)
        check(name in err and os.path.exists(dfal.at(name)), f"merge of {name}: {err}")
    check(not os.path.exists(dfal.at("q.csv")), "select wrote")


def apart_imports(dfal):
    pairs = Pairs(dfal)
    images = struct.pack(">4I", 0x803, 4, 28, 28) + bytes(4 * 784)
    write(dfal, "images", images)
    write(dfal, "labels", struct.pack(">2I", 0x801, 4) + bytes([0, 1, 2, 3]))
    pairs(("import", "idx", "images", "labels"), "-o", ("images", "labels"))
    np.save(dfal.at("x.npy"), np.zeros((4, 1, 8, 8), np.uint8))
    np.save(dfal.at("y.npy"), np.arange(4))
    np.savez(dfal.at("x.npz"), samples=np.zeros((4, 1, 8, 8), np.uint8))
    pairs(("import", "npy", "x.npy", "y.npy"), "-o", ("x.npy", "y.npy"))
    pairs(("import", "npz", "x.npz"), "-o", ("x.npz",))
    pairs(("import", "quickdraw", "x.npy", "y.npy"), "-o", ("x.npy", "y.npy"))
    pairs(("import", "shoebag", "x.npz", "y.npy"), "-o", ("x.npz", "y.npy"))
    for name in ("test_batch.bin", "batches.meta.txt"):
        write(dfal, name, bytes(2 * 3073) if name.startswith("test") else "\n".join("abcdefghij") + "\n")
    pairs(("import", "cifar10", ".", "--split", "test"), "-o", ("test_batch.bin", "batches.meta.txt"))
    model = "residual-external-dynamo.onnx"
    for name in (model, model + ".data"):
        shutil.copy(os.path.join(GOLDEN, name), dfal.at(name))
    pairs(("import", "onnx", model), "-o", (model,))
    pairs(("import", "onnx", model), "-o", (model + ".data",), late=True)
    os.mkdir(dfal.at("in"))
    for i, name in enumerate(("in/a.png", "in/b.png")):
        write(dfal, name, png(np.full((8, 8), 40 * i)))
    write(dfal, "list.csv", "path\nin/a.png\nin/b.png\n")
    write(dfal, "names.txt", "x\ny\n")
    pairs(("import", "images", "in"), "-o", ("in/a.png", "in/b.png"))
    pairs(("import", "images", "list.csv", "--class-names", "names.txt"), "-o", ("in/b.png", "list.csv", "names.txt"))
    # The list of what an earlier import skipped, for an import of the same name.
    write(dfal, "p.bad.csv", "path,reason\nin/a.png,none\n")
    dfal.refuses(64, "import", "images", "p.bad.csv", "-o", "p.h5", "--on-error", "skip", says="p.bad.csv")
    dfal.refuses(64, "import", "images", "p.bad.csv", "-o", "p.h5", "--force", says="p.bad.csv")


def apart_model(dfal):
    """The files that an ONNX model names are read, too."""
    pairs = Pairs(dfal)
    model = "residual-external-dynamo.onnx"
    for name in (model, model + ".data"):
        shutil.copy(os.path.join(GOLDEN, name), dfal.at(name))
    shape = dfal.json("info", model)["input"].split(" x ")
    np.save(dfal.at("x.npy"), np.zeros((4, *map(int, shape)), np.float32))
    dfal.run("-q", "import", "npy", "x.npy", "-o", "pool.h5")
    for words in (("score", model, "pool.h5"), ("logits", model, "pool.h5"),
                  ("select", model, "pool.h5", "--strategy", "entropy", "--count", "2")):
        pairs(words, "-o", (model + ".data",), late=True)
    pairs(("eval", model, "pool.h5"), "--confusion", (model + ".data",), late=True)


def apart_runs(dfal):
    """A run directory is written as a whole, and a report reads one."""
    prepare(dfal)
    write(dfal, "c.yaml", CONFIG)
    dfal.run("-q", "run", "c.yaml", "-o", "d")
    pairs = Pairs(dfal)
    read_files = ("d/config.yaml", "d/curve.csv", "d/queries.csv", "pool.h5")
    pairs(("report", "d"), "-o", read_files)
    dfal.run("-q", "report", "d", "-o", "d/report.html", "--force")
    shutil.copy(dfal.at("pool.h5"), dfal.at("d/networks/pool.h5"))
    shutil.copy(dfal.at("test.h5"), dfal.at("d/report.html"))
    whole = {name: read(dfal.at(name)) for name in ("d/networks/pool.h5", "d/report.html", "d/config.yaml")}
    for words in (("d/config.yaml",), ("c.yaml", "--train", "folder/d/networks/pool.h5"),
                  ("c.yaml", "--test", "sub/../d/report.html"), ("c.yaml", "--set", "network=d/networks/random-1.h5")):
        dfal.refuses(64, "run", *words, "-o", "d", "--force", says=(os.path.basename(words[-1].split("=")[-1]), "d/"))
        for name, content in whole.items():
            check(read(dfal.at(name)) == content, f"run {words} --force wrote over {name}")
    dfal.refuses(73, "run", "d/config.yaml", "-o", "d", says="finished")
    os.remove(dfal.at("d/state/finished"))
    dfal.run("-q", "run", "d/config.yaml", "-o", "d", "--resume")  # goes on by its own configuration: it is replaced by nobody


# ---- one owner --------------------------------------------------------------------------------------------------------


def commands(dfal):
    prepare(dfal)
    np.save(dfal.at("x.npy"), np.zeros((8, 1, 28, 28), np.uint8))
    os.mkdir(dfal.at("in"))
    for i in range(4):
        write(dfal, f"in/{i}.png", png(np.full((8, 8), 40 * i)))
    for number in (1, 2):
        dfal.run("-q", "score", "net.h5", "pool.h5", "--shard", f"{number}/2", "-o", f"s{number}.h5")
    write(dfal, "c.yaml", CONFIG)
    dfal.run("-q", "run", "c.yaml", "-o", "other")
    return {"synth": ("synth", "-n", "50"), "npy": ("import", "npy", "x.npy"), "images": ("import", "images", "in"),
            "logits": ("logits", "net.h5", "pool.h5"), "merge": ("merge", "s1.h5", "s2.h5"),
            "score": ("score", "net.h5", "pool.h5"),
            "train": ("train", "--net", "lenet5", "pool.h5", "--epochs", "1"), "report": ("report", "other"),
            "run": ("run", "c.yaml"),
            "select": ("select", "net.h5", "pool.h5", "--strategy", "dfal", "--count", "4", "--labels", "l.csv", "--twins",
                       "tw.h5")}


def race(dfal):
    """Two lines on one output while the disk is slow: the second is told, and does no harm to the first."""
    all_words = commands(dfal)
    slow = {"LD_PRELOAD": os.environ["DFAL_TEST_PRELOAD"], "DFAL_TEST_FSYNC_MS": "250"}
    first = {name: dfal.start("-q", *words, "-o", name + ".x", environment=slow) for name, words in all_words.items()}
    waiting = set(first)
    second = {}
    while waiting:
        for name in list(waiting):
            begun = any(entry.startswith(name + ".x.tmp.") for entry in os.listdir(dfal.folder)) or (
                name == "run" and os.path.exists(dfal.at("run.x/state/identity")))
            if begun or first[name].poll() is not None:
                second[name] = dfal.start("-q", *all_words[name], "-o", name + ".x")
                waiting.remove(name)
    for name in all_words:
        _, err = second[name].communicate()
        check(second[name].returncode == 73, f"the second {name}: {second[name].returncode} {err.decode()}")
        _, err = first[name].communicate()
        check(first[name].returncode == 0, f"the first {name}: {first[name].returncode} {err.decode()}")
        check(os.path.exists(dfal.at(name + ".x")), f"{name} has no output")
    left = [name for name in os.listdir(dfal.folder) if ".tmp." in name or name.endswith((".parts", ".unfinished"))]
    check(not left, f"left: {left}")


def without_locks(dfal):
    """Where a file system has no locks two lines may begin, and one of them ends well; the other does it no harm."""
    all_words = commands(dfal)
    del all_words["run"]  # is told by its log's lock alone
    slow = {"LD_PRELOAD": os.environ["DFAL_TEST_PRELOAD"], "DFAL_TEST_FSYNC_MS": "250", "DFAL_TEST_NO_LOCKS": "1"}
    both = {name: [dfal.start("-q", *words, "-o", name + ".x", environment=slow) for _ in range(2)]
            for name, words in all_words.items()}
    for name, pair in both.items():
        errors = [process.communicate()[1].decode() for process in pair]
        codes = sorted(process.returncode for process in pair)
        check(codes[0] == 0 and codes[1] in (73, 74), f"two {name} without locks: {codes} {errors}")
        if name not in ("report", "select"):
            dfal.run("-q", *all_words[name], "-o", name + ".whole")
            same_bits(dfal.at(name + ".whole"), dfal.at(name + ".x"))


def killed(dfal):
    """Killed before an output has its name the work goes on; killed after it nothing is left beside it for good."""
    all_words = commands(dfal)
    for name in ("synth", "images", "score", "train", "select"):
        out = name + ".x"
        for moment in ("before", "after"):
            process = dfal.start("-q", *all_words[name], "-o", out, environment={
                "LD_PRELOAD": os.environ["DFAL_TEST_PRELOAD"], "DFAL_TEST_KILL": f"{moment}:{out}"})
            _, err = process.communicate()
            check(process.returncode == -signal.SIGKILL, f"{name}: {process.returncode} {err.decode()}")
            left = [entry for entry in os.listdir(dfal.folder) if entry.startswith(out + ".")]
            check(left, f"{name} killed {moment}: nothing is left to clean up")
            if moment == "before":
                check(not os.path.exists(dfal.at(out)), f"{name} was killed too late")
                dfal.run("-q", *all_words[name], "-o", out)
                shutil.copy(dfal.at(out), dfal.at(name + ".whole"))
                dfal.run("-q", *all_words[name], "-o", out, "--force")
                os.remove(dfal.at(out))
                if name == "select":
                    os.remove(dfal.at("tw.h5"))
            else:
                if name != "select":
                    check(dfal.json("status", out)["state"] == "finished", f"{name} has its name and is told to be unfinished")
                dfal.refuses(73, *all_words[name], "-o", out, says=out)
                if name != "select":
                    same_bits(dfal.at(name + ".whole"), dfal.at(out))
            left = [entry for entry in os.listdir(dfal.folder) if entry.startswith(out + ".")]
            check(not left, f"{name} killed {moment} its output had its name: {left} stay")


def kept_parts(dfal):
    """Parts that cannot be removed are no failure of a finished output; the next line on it removes them."""
    all_words = commands(dfal)
    for name, part in (("train", "publishing"), ("score", "publishing"), ("images", "000000.h5")):
        out = name + ".x"
        dfal.run("-q", *all_words[name], "-o", out, environment={
            "LD_PRELOAD": os.environ["DFAL_TEST_PRELOAD"], "DFAL_TEST_KEEP": part})
        check(os.path.exists(dfal.at(f"{out}.parts/{part}")), f"{name}: {part} was removed all the same")
        dfal.refuses(73, *all_words[name], "-o", out, says=out)
        check(not os.path.exists(dfal.at(out + ".parts")), f"{name}: its parts stay")


def unfinished_again(dfal):
    """A finished output that is being made again: without --force the new work stays."""
    prepare(dfal)
    words = ("train", "--net", "lenet5", "pool.h5", "--epochs", "40000", "-o", "n.h5")
    dfal.run("-q", "train", "--net", "lenet5", "pool.h5", "--epochs", "0", "-o", "n.h5")
    process = dfal.start("-q", *words, "--force")
    while process.poll() is None and not os.path.exists(dfal.at("n.h5.parts/state.h5")):
        pass
    process.kill()
    process.communicate()
    dfal.refuses(73, *words, says="n.h5")
    check(os.path.exists(dfal.at("n.h5.parts/state.h5")), "the checkpoint of a training with --force was removed")


def owner(dfal):
    """Whatever umask says, who writes a file may read it: all jobs work, for somebody who is not root."""
    prepare(dfal)
    write(dfal, "c.yaml", CONFIG)
    for path in (dfal.folder, *map(dfal.at, os.listdir(dfal.folder))):
        os.chmod(path, 0o777)

    def as_nobody():
        if os.geteuid() == 0:
            os.setgid(65534)
            os.setuid(65534)
        os.umask(0o777)

    def run(*words):
        try:
            process = dfal.start("-q", *words, preexec_fn=as_nobody)
        except PermissionError:
            return False
        _, err = process.communicate()
        check(process.returncode == 0, f"{words} under umask 0777: {process.returncode} {err.decode()}")
        return True

    if not run("--version"):
        print("owner: not run because only root reaches the command", flush=True)
        return
    for words in (("synth", "-n", "20"), ("score", "net.h5", "pool.h5"), ("run", "c.yaml"),
                  ("train", "--net", "lenet5", "pool.h5", "--epochs", "1")):
        run(*words, "-o", words[0] + ".x")
        check(os.stat(dfal.at(words[0] + ".x")).st_mode & 0o777 in (0o600, 0o700), f"{words[0]}: another mode")
    run("report", "run.x", "-o", "page.html")


def no_files(dfal):
    """A device, a pipe or a link to one is never replaced by a file, and nobody is told to force it; a folder's name must be a folder's."""
    prepare(dfal)
    os.mkfifo(dfal.at("pipe"))
    os.symlink("/dev/null", dfal.at("null"))
    made = {name: os.lstat(dfal.at(name)) for name in ("pipe", "null")}
    for name in (*made, "/dev/null"):
        for words in (("score", "net.h5", "pool.h5", "--max-iter", "1"), ("synth", "-n", "5"), ("train", "--net", "lenet5", "pool.h5", "--epochs", "1"),
                      ("select", "net.h5", "pool.h5", "--strategy", "random", "--count", "2")):
            for force in ((), ("--force",)):
                dfal.refuses(73, *words, "-o", name, *force, says=(name, "device or a pipe"))
    check(all(os.lstat(dfal.at(name)) == was for name, was in made.items()), "a pipe or a link was replaced")
    dfal.refuses(73, "synth", "-n", "5", "-o", "pool.h5/x.h5", says="its folder 'pool.h5' is a file")


def report_pair(dfal):
    """The page and its tables: both or none."""
    prepare(dfal)
    write(dfal, "c.yaml", CONFIG)
    dfal.run("-q", "run", "c.yaml", "-o", "d")
    write(dfal, "old.tex", "old")
    for page, tables in (("page.html", "no/t.tex"), ("page.html", "old.tex"), ("no/page.html", "new.tex")):
        dfal.refuses(73, "report", "d", "-o", page, "--latex", tables)
        check(not os.path.exists(dfal.at("page.html")) and not os.path.exists(dfal.at("new.tex")), f"{page}, {tables}: one was written")
    check(read(dfal.at("old.tex")) == b"old", "a file was replaced without --force")
    dfal.run("-q", "report", "d", "-o", "page.html", "--latex", "new.tex")


main({f.__name__: f for f in (no_files, report_pair, apart, apart_imports, apart_model, apart_runs, race, without_locks, killed, kept_parts,
                              unfinished_again, owner)})
