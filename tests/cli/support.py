# SPDX-License-Identifier: Apache-2.0
"""What the tests of the command share: running it, checking its manners, comparing files."""
import csv
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

import h5py
import numpy as np

RUN_SETTINGS = {"command_line", "created", "device"}


class Failure(AssertionError):
    pass


def check(condition, message):
    if not condition:
        raise Failure(message)


class Command:
    """The dfal command in a folder of its own."""

    def __init__(self, path):
        self.path = os.path.abspath(path)
        self.folder = tempfile.mkdtemp(prefix="dfal-cli-")

    def at(self, name):
        return os.path.join(self.folder, name)

    def start(self, *words, environment=None, **more):
        return subprocess.Popen([self.path, *map(str, words)], cwd=self.folder, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                                env={**os.environ, **(environment or {})}, **more)

    def run(self, *words, code=0, environment=None, timeout=280):
        """Run to the end; returns (stdout, stderr). Any other exit code is a failure that shows the line."""
        process = self.start(*words, environment=environment)
        try:
            out, err = (text.decode("utf-8", "replace") for text in process.communicate(timeout=timeout))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise Failure(f"dfal {' '.join(map(str, words))}: still running after {timeout} s")
        if code is not None and process.returncode != code:
            raise Failure(f"dfal {' '.join(map(str, words))}: exit code {process.returncode}, expected {code}\n{err}")
        return out, err

    def refuses(self, code, *words, says=(), environment=None):
        """An error in good manners: the code, nothing on stdout, one sentence on stderr that names what matters."""
        line = f"dfal {' '.join(map(str, words))}"
        out, err = self.run("-q", *words, code=code, environment=environment)
        check(out == "", f"{line}: an error printed results:\n{out}")
        lines = [text for text in err.splitlines() if not text.startswith("warning:")]
        check(len(lines) == 1, f"{line}: expected one line on stderr, got\n{err}")
        check(lines[0].startswith("dfal: ") and len(lines[0]) > 12, f"{line}: not a sentence: {lines[0]}")
        for word in (says,) if isinstance(says, str) else says:
            check(word in lines[0], f"{line}: '{word}' is not named in: {lines[0]}")
        left = [name for name in os.listdir(self.folder) if ".tmp." in name]
        check(not left, f"{line}: temporaries are left: {left}")
        return lines[0]

    def json(self, *words):
        out, _ = self.run("-q", "--json", *words)
        return json.loads(out)


def datasets(path):
    """Every dataset's bytes, type and shape, and every attribute that must agree."""
    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            value = item[()]
            raw = value if isinstance(value, (bytes, str)) else np.asarray(value)
            if not isinstance(raw, (bytes, str)):
                raw = (raw.tobytes() if raw.dtype != object else tuple(raw.ravel().tolist()))
            found[name] = (str(item.dtype), item.shape, raw)

    with h5py.File(path, "r") as file:
        file.visititems(visit)
        for key, value in file.attrs.items():
            if key not in RUN_SETTINGS and key != "configuration":
                found["@" + key] = np.asarray(value).tolist()
    return found


def same_bits(first, second, ignore=()):
    a, b = datasets(first), datasets(second)
    check(a.keys() == b.keys(), f"{first} and {second} hold different things: {sorted(a.keys() ^ b.keys())}")
    for key in a:
        if key not in ignore:
            check(a[key] == b[key], f"{first} and {second} differ in {key}")


def same_file(first, second):
    with open(first, "rb") as a, open(second, "rb") as b:
        check(a.read() == b.read(), f"{first} and {second} differ")


def rows_of(path, errors="strict"):
    """The lines of a table as dictionaries."""
    with open(path, encoding="utf-8", errors=errors, newline="") as file:
        return list(csv.DictReader(file))


def same_runs(first, second):
    """The folders of two runs, but for times, the log and the page."""
    def rows(folder):
        table = rows_of(os.path.join(folder, "curve.csv"))
        return [[value for key, value in row.items() if not key.endswith("_seconds")] for row in table]

    for name in ("queries.csv", "classes.csv"):
        same_file(os.path.join(first, name), os.path.join(second, name))
    check(rows(first) == rows(second), f"{first} and {second} differ in curve.csv")
    names = sorted(os.listdir(os.path.join(first, "networks")))
    check(names == sorted(os.listdir(os.path.join(second, "networks"))), "the runs keep other networks")
    for name in names:
        same_bits(os.path.join(first, "networks", name), os.path.join(second, "networks", name))


def wait_for(path):
    """Until a file is there; a minute at most."""
    for _ in range(3000):
        if os.path.exists(path):
            return
        time.sleep(0.02)
    check(False, f"{path} never came")


def alive(text):
    """What of /proc belongs to processes with these words in their command line."""
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as file:
                if text.encode() in file.read():
                    found.append(path)
        except OSError:
            pass
    return found


def kill_at(command, words, seconds, number=signal.SIGKILL):
    """Start, wait, signal; the exit code (negative: died by that signal) and stderr."""
    process = command.start(*words)
    time.sleep(seconds)
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    return process.returncode, err.decode("utf-8", "replace")


def move_library(dfal, cuda=None):
    """A copy of libdfal in a folder of its own, with a CUDA back end and the way of ranks beside it; the environment that loads it."""
    out = subprocess.run(["ldd", dfal.path], capture_output=True, text=True, check=True).stdout
    library = os.path.realpath(re.search(r"libdfal\.so\S* => (\S+)", out).group(1))
    folder = dfal.at("moved")
    os.mkdir(folder)
    shutil.copy(library, os.path.join(folder, re.search(r"(libdfal\.so\S*) =>", out).group(1)))
    mpi = os.path.join(os.path.dirname(library), "libdfal_mpi.so")
    if os.path.exists(mpi):
        shutil.copy(mpi, folder)
    if cuda:
        shutil.copy(cuda, os.path.join(folder, "libdfal_cuda.so"))
    # LD_LIBRARY_PATH beats the build tree's run path, so libdfal is the moved one.
    return {"LD_LIBRARY_PATH": folder}


def write_pool(path, samples, labels=None, class_count=10, scale=None, offset=None, **attributes):
    """A pool as ten lines of h5py write it."""
    samples = np.asarray(samples)
    floating = samples.dtype.kind == "f"
    with h5py.File(path, "w") as file:
        file.attrs["format"] = "dfal-pool"
        file.attrs["version"] = 1
        file.attrs["class_count"] = class_count
        file.attrs["scale"] = np.array([(1.0 if floating else 1.0 / 255.0) if scale is None else scale])
        file.attrs["offset"] = np.array([0.0 if offset is None else offset])
        for key, value in attributes.items():
            file.attrs[key] = value
        file["samples"] = samples
        if labels is not None:
            file["labels"] = np.asarray(labels, np.int32)


def main(tests):
    """Run the named test functions, or all: script.py DFAL [NAME...]."""
    if len(sys.argv) < 2:
        raise SystemExit("usage: script.py DFAL [TEST...]")
    wanted = sys.argv[2:] or list(tests)
    failed = 0
    for name in wanted:
        begin = time.monotonic()
        command = Command(sys.argv[1])
        try:
            tests[name](command)
            print(f"ok      {name}  {time.monotonic() - begin:.1f} s", flush=True)
        except Exception as failure:  # the next function has to run, whatever became of this one
            failed += 1
            if not isinstance(failure, Failure):
                traceback.print_exc(file=sys.stdout)
            print(f"FAILED  {name}: {failure}\n  again: {sys.executable} {sys.argv[0]} {sys.argv[1]} {name}",
                  flush=True)
        finally:
            shutil.rmtree(command.folder, ignore_errors=True)
    raise SystemExit(1 if failed else 0)
