#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Killed at any moment, the same line again gives the same bytes; SIGTERM keeps the work."""
import glob
import os
import shutil
import signal
import subprocess
import time

import h5py
import numpy as np

from data import make_pool
from support import check, kill_at, main, same_bits, same_runs, wait_for

# Three shards of a score, cheap ones.
SCORE = ("score", "net.h5", "pool.h5", "--max-iter", "1", "--classes", "3")
LONG_SCORE = ("score", "net.h5", "pool.h5", "--max-iter", "1", "--threads", "1")
MOMENTS = (0.15, 0.4, 0.65, 0.9)


def timed(dfal, words):
    begin = time.monotonic()
    dfal.run("-q", *words)
    return time.monotonic() - begin


def survive(dfal, words, out, compare, moments=MOMENTS, between=None):
    """Run whole, then killed at several moments, each followed by the same line until it is done."""
    whole = dfal.at("whole-" + out)
    seconds = timed(dfal, [*words, "-o", "whole-" + out])
    for moment in moments:
        code, err = kill_at(dfal, ["-q", *words, "-o", out], moment * seconds)
        check(code in (0, -9), f"{words[0]} killed: {code} {err}")
        if between is not None:
            between(dfal)
        if code == 0 or (os.path.isfile(dfal.at(out)) and not os.path.isdir(dfal.at(out))):
            compare(whole, dfal.at(out))
            dfal.refuses(73, *words, "-o", out, says=out)
        else:
            dfal.run("-q", *words, "-o", out)
            compare(whole, dfal.at(out))
        left = [name for name in os.listdir(dfal.folder) if ".tmp." in name or name == out + ".parts"]
        check(not left, f"{words[0]} left {left}")
        (shutil.rmtree if os.path.isdir(dfal.at(out)) else os.remove)(dfal.at(out))


def synth(dfal):
    survive(dfal, ["synth", "-n", "6000"], "pool.h5", same_bits)


def import_idx(dfal):
    import numpy as np
    samples = np.random.default_rng(1).integers(0, 256, (120000, 28, 28)).astype(np.uint8)
    with open(dfal.at("images"), "wb") as file:
        file.write(bytes([0, 0, 8, 3]) + np.array([120000, 28, 28], ">u4").tobytes() + samples.tobytes())
    survive(dfal, ["import", "idx", "images"], "pool.h5", same_bits)


def train(dfal):
    make_pool(dfal.at("train.h5"), 3000, 1)
    survive(dfal, ["train", "--net", "lenet5", "train.h5", "--epochs", "4", "--restarts", "2", "--validation", "0.1",
                   "--augment", "shift=2,rotate=10,erase=0.3"],
            "net.h5", same_bits)


def expected_state(command, name):
    """A job that is killed between its last two steps has published its file and left its parts."""
    return "finished" if os.path.exists(command.at(name)) else "unfinished"


def score(dfal):
    make_pool(dfal.at("train.h5"), 400, 1)
    make_pool(dfal.at("pool.h5"), 34000, 2)
    dfal.run("-q", "train", "--net", "lenet5", "train.h5", "-o", "net.h5", "--epochs", "2")

    def peek(command):
        if os.path.isdir(command.at("s.h5.parts")):
            document = command.json("status", "s.h5")
            check(document["state"] == expected_state(command, "s.h5") and document.get("percent", 0) <= 100,
                  f"status: {document}")

    survive(dfal, [*SCORE], "s.h5", same_bits, between=peek)


def logits(dfal):
    make_pool(dfal.at("train.h5"), 400, 1)
    make_pool(dfal.at("pool.h5"), 60000, 2)
    dfal.run("-q", "train", "--net", "lenet5", "train.h5", "-o", "net.h5", "--epochs", "1")
    seen = []

    def peek(command):
        if os.path.isdir(command.at("l.h5.parts")):
            document = command.json("status", "l.h5")
            check(document["state"] == expected_state(command, "l.h5"), f"status: {document}")
            seen.append(document["job"])

    survive(dfal, ["logits", "net.h5", "pool.h5", "--threads", "1"], "l.h5", same_bits, between=peek)
    check(set(seen) <= {"logits", "unknown"}, f"status calls the job {seen}")


def merge(dfal):
    make_pool(dfal.at("pool.h5"), 4000, 2)
    dfal.run("-q", "train", "--net", "lenet5", "pool.h5", "-o", "net.h5", "--epochs", "1")
    for number in (1, 2):
        dfal.run("-q", "score", "net.h5", "pool.h5", "-o", f"part{number}.h5", "--shard", f"{number}/2")
    survive(dfal, ["merge", "part1.h5", "part2.h5"], "m.h5", same_bits)


RUN = ["run", "run.yaml"]


def write_run(dfal):
    make_pool(dfal.at("train.h5"), 500, 1)
    make_pool(dfal.at("test.h5"), 200, 2)
    with open(dfal.at("run.yaml"), "w", encoding="utf-8") as file:
        file.write("data: {train: train.h5, test: test.h5}\nnetwork: lenet5\nstrategies: [dfal, random]\ninitial: 20\n"
                   "query: 20\nannotations: 60\ntrials: 2\ntraining: {restarts: 1, epochs: 6, validation: 0}\n")


def run(dfal):
    write_run(dfal)
    survive(dfal, RUN, "d", same_runs)


def run_repeatedly(dfal):
    """Killed again and again, a little later each time, until it gets through."""
    write_run(dfal)
    seconds = timed(dfal, [*RUN, "-o", "whole"])
    kills = 0
    while True:
        code, err = kill_at(dfal, ["-q", *RUN, "-o", "d"], seconds * (0.2 + 0.02 * kills))
        if code == 0:
            break
        check(code == -9, f"run: {code} {err}")
        kills += 1
        check(kills < 60, "run does not get on")
        dfal.json("status", "d") if os.path.exists(dfal.at("d/config.yaml")) else None
    check(kills > 0, "the run was never killed")
    same_runs(dfal.at("whole"), dfal.at("d"))
    dfal.refuses(73, *RUN, "-o", "d", says="d")


def cleared(dfal, words, out):
    """Remove a finished output; nothing else may be left of it."""
    (shutil.rmtree if os.path.isdir(dfal.at(out)) else os.remove)(dfal.at(out))
    left = [name for name in os.listdir(dfal.folder) if ".tmp." in name or name.endswith(".parts")]
    check(not left, f"{words[0]} left {left}")


def stop(dfal, words, out, compare, number):
    """Signalled at several moments."""
    seconds = timed(dfal, [*words, "-o", "whole-" + out])
    for moment in (0.3, 0.55, 0.8):
        code, err = kill_at(dfal, ["-q", *words, "-o", out], moment * seconds, number)
        check(code in (0, 75, -number), f"{words[0]} after signal {number}: {code} {err}")
        check(code != 75 or "stopped" in err, f"{words[0]}: {err}")
        if code != 0:
            dfal.run("-q", *words, "-o", out)
        compare(dfal.at("whole-" + out), dfal.at(out))
        cleared(dfal, words, out)


def stop_upon(dfal, words, out, compare, number, evidence):
    """Signalled as soon as `evidence` (a file pattern) shows finished work: 75."""
    whole = dfal.at("whole-" + out)
    if not os.path.exists(whole):
        dfal.run("-q", *words, "-o", "whole-" + out)
    process = dfal.start("-q", *words, "-o", out)
    while process.poll() is None and not glob.glob(dfal.at(evidence)):
        time.sleep(0.002)
    process.send_signal(number)
    _, err = process.communicate()
    check(process.returncode == 75, f"{words[0]} did not keep its work: {process.returncode} {err.decode()}")
    stop_early(dfal, [*words, "-o", out], number)
    dfal.run("-q", *words, "-o", out)
    compare(whole, dfal.at(out))
    cleared(dfal, words, out)


def stop_early(dfal, words, number):
    """A line that would go on with finished work is signalled as soon as it hears signals, before it has looked: 75 all the same."""
    process = dfal.start("-q", *words)
    while process.poll() is None:
        with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
            caught = next(line for line in file if line.startswith("SigCgt"))
        if int(caught.split()[1], 16) >> (number - 1) & 1:
            break
    process.send_signal(number)
    _, err = process.communicate()
    check(process.returncode == 75 and b"nothing is kept" not in err, f"{words[0]} stopped at its beginning: {process.returncode} {err.decode()}")


def stop_train(dfal):
    make_pool(dfal.at("train.h5"), 2000, 1)
    stop(dfal, ["train", "--net", "lenet5", "train.h5", "--epochs", "16"], "net.h5", same_bits, signal.SIGTERM)
    words = ["train", "--net", "lenet5", "train.h5", "-o", "net.h5"]
    process = dfal.start("-q", *words, "--epochs", "1000")
    for _ in range(600):
        if os.path.exists(dfal.at("net.h5.parts/state.h5")):
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    process.communicate()
    check(process.returncode == 75, f"train after SIGINT: {process.returncode}")
    stop_early(dfal, [*words, "--epochs", "1000"], signal.SIGTERM)
    check(dfal.json("status", "net.h5")["job"] == "train", "status of a stopped training")
    for line in (("info", "net.h5"), ("eval", "net.h5", "train.h5"), ("score", "net.h5", "train.h5", "-o", "s.h5")):
        dfal.refuses(66, *line, says="net.h5 is not there yet, its job is unfinished: dfal status net.h5 tells more")
    dfal.refuses(78, *words, "--epochs", "3", says=("net.h5.parts/state.h5", "epochs 1000, expected 3; --force starts anew"))
    dfal.run("-q", *words, "--epochs", "1", "--force")


def bad_state(dfal):
    """A checkpoint whose numbers cannot be: 65 with the file, and it stays as it is."""
    make_pool(dfal.at("train.h5"), 300, 1)
    # With one thread the second restart has not begun when the first is stopped.
    words = ["--threads", "1", "train", "--net", "lenet5", "train.h5", "-o", "net.h5", "--epochs", "1000", "--restarts", "2"]
    process = dfal.start("-q", *words)
    state = dfal.at("net.h5.parts/state.h5")
    while process.poll() is None and not os.path.exists(state):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    check(process.returncode == 75, f"train after SIGTERM: {process.returncode}")
    good = dfal.at("good.h5")
    shutil.copy(state, good)
    for name, at, value, says in (
            ("restarts", (0, 0), -5, "row 0 of /restarts is -5"),
            ("restarts", (0, 0), 2**32 + 400, "row 0 of /restarts is 4294967696"),
            ("restarts", (0, 1), 2000, "as many waited at most"),
            ("restarts", (1, 2), 7, "row 1 of /restarts is 0, 0, 7"),
            ("restarts", (slice(None), 2), 1, "one that has ended"),
            ("counts", 1, 1, "restart 1 as the one to keep, expected -1"),
            ("counts", 0, 12, "/parameters_0 has 166936 values, expected 12"),
            ("losses", (0, 0), np.nan, "row 0 of /losses"),
            ("losses", (0, 1), np.inf, "row 0 of /losses"),
            ("m_0", 3, np.nan, "value 3 of /m_0 is nan")):
        shutil.copy(good, state)
        with h5py.File(state, "r+") as file:
            file[name][at] = value
        dfal.refuses(65, *words, says=("state.h5", says))
        check(os.path.exists(state), f"a checkpoint with another {name} was removed")
    shutil.copy(good, state)
    with open(state, "r+b") as file:
        file.truncate(os.path.getsize(state) // 2)
    dfal.refuses(65, *words, says="state.h5")


def stop_score(dfal):
    make_pool(dfal.at("train.h5"), 400, 1)
    make_pool(dfal.at("pool.h5"), 34000, 2)
    dfal.run("-q", "train", "--net", "lenet5", "train.h5", "-o", "net.h5", "--epochs", "2")
    stop(dfal, [*SCORE], "s.h5", same_bits, signal.SIGUSR1)
    # The first shard becomes a file a second after scoring began: one thread takes longer than that wherever it runs.
    stop_upon(dfal, LONG_SCORE, "long.h5", same_bits, signal.SIGHUP, "long.h5.parts/??????.h5")
    process = dfal.start("-q", *LONG_SCORE, "-o", "long.h5")
    while process.poll() is None and not glob.glob(dfal.at("long.h5.parts/??????.h5")):
        time.sleep(0.002)
    process.kill()
    process.communicate()
    check(dfal.json("status", "long.h5")["shards"] >= 1, "what a killed score leaves")
    dfal.run("-q", *LONG_SCORE, "-o", "long.h5")
    same_bits(dfal.at("whole-long.h5"), dfal.at("long.h5"))


def stop_run(dfal):
    write_run(dfal)
    stop(dfal, RUN, "d", same_runs, signal.SIGTERM)
    stop_upon(dfal, RUN, "d", same_runs, signal.SIGTERM, "d/state/*.h5")
    dfal.refuses(66, *RUN, "-o", "d", "--resume", says="d: no such folder, expected a run directory")


def stop_without_work(dfal):
    """Nothing to keep: the command removes its temporaries and dies by the signal."""
    code, err = kill_at(dfal, ["-q", "synth", "-n", "3000000", "-o", "pool.h5"], 1.0, signal.SIGTERM)
    check(code == -signal.SIGTERM, f"synth after SIGTERM: {code} {err}")
    check(os.listdir(dfal.folder) == [], f"synth left {os.listdir(dfal.folder)}")
    code, err = kill_at(dfal, ["-q", "synth", "-n", "3000000", "-o", "pool.h5"], 1.0, signal.SIGHUP)
    check(code == -signal.SIGHUP and os.listdir(dfal.folder) == [], f"synth after SIGHUP: {code} {err} {os.listdir(dfal.folder)}")
    process = dfal.start("-q", "synth", "-n", "20000", "-o", "pool.h5", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    time.sleep(0.3)
    process.send_signal(signal.SIGHUP)
    process.communicate()
    check(process.returncode == 0, f"a command that was begun by nohup was stopped by SIGHUP: {process.returncode}")


def at_work(dfal):
    """While a job is at work status says so, whatever it has finished; once it has ended it says no, on a file system of this host."""
    kind = subprocess.run(["stat", "-f", "-c", "%T", dfal.folder], check=True, capture_output=True, text=True).stdout.strip()
    nobody = "no" if kind in ("ext2/ext3", "xfs", "btrfs", "tmpfs", "overlayfs", "zfs", "f2fs") else None

    def look(words, evidence, out, number):
        """The job's status when the evidence is there, and when the job has been ended by the signal."""
        process = dfal.start("-q", *words, "-o", out)
        wait_for(dfal.at(evidence))
        process.send_signal(signal.SIGSTOP)
        during = dfal.json("status", out)
        process.send_signal(signal.SIGCONT)
        process.send_signal(number)
        process.communicate()
        return during, dfal.json("status", out)

    write_run(dfal)
    make_pool(dfal.at("pool.h5"), 34000, 2)
    dfal.run("-q", "train", "--net", "lenet5", "train.h5", "-o", "net.h5", "--epochs", "1")
    for words, evidence, out, number in ((LONG_SCORE, "s.h5.parts", "s.h5", signal.SIGKILL), (RUN, "d/config.yaml", "d", signal.SIGKILL),
                                         (("train", "--net", "lenet5", "train.h5", "--epochs", "1000"), "n.h5.parts/state.h5", "n.h5", signal.SIGTERM)):
        during, after = look(words, evidence, out, number)
        check(during["at_work"] == "yes" and during["state"] == "unfinished", f"at work: {during}")
        check(after.get("at_work") == nobody and after["state"] == "unfinished", f"ended by signal {number}: {after}")
        if words == LONG_SCORE:
            for document, says in (during, "look again"), (after, "its line begins anew"):
                if document["shards"] == 0:
                    check(document["job"] == "unknown" and says in document["note"], f"status before the first shard: {document}")
    dfal.run("-q", *RUN, "-o", "d")
    check("at_work" not in dfal.json("status", "d") and "at_work" not in dfal.json("status", "net.h5"), "a finished output has somebody at work")
    # What a score leaves that is killed before its first shard, whatever the first one above had time for.
    os.mkdir(dfal.at("begun.h5.parts"))
    document = dfal.json("status", "begun.h5")
    check((document["job"], document["shards"], document["state"], document.get("at_work")) == ("unknown", 0, "unfinished", nobody), f"{document}")
    check("its line begins anew" in document["note"], f"{document}")
    out, _ = dfal.run("-q", "status", "begun.h5.parts")
    check("its line begins anew" in out and (nobody is None or "at_work                  no" in out), out)


main({f.__name__: f for f in (synth, import_idx, train, score, logits, merge, run, run_repeatedly, stop_train, bad_state, stop_score,
                              stop_run, stop_without_work, at_work)})
