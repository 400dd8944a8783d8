#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Several ranks of one job under mpirun: the bytes of one process, whatever happens to a rank. DFAL_MPIRUN is how a job of
ranks is started, but for -np N."""
import json
import os
import shlex
import shutil
import signal
import subprocess
import time

import numpy as np

from data import digits, make_pool
from support import check, main, move_library, same_bits, same_file, same_runs, write_pool

# Trains nothing. On two ranks each gets one strategy of two, and rank 1 is slow: it waits until rank 0 has done.
TRAINER = """\
while [ "$1" != --out ]; do shift; done
case ${TEST_RANK-} in
0) until [ -e begun ]; do sleep 0.01; done ;;
1) >begun; until [ "$(wc -l <two/curve.csv)" -ge 3 ]; do sleep 0.01; done; sleep 0.3 ;;
esac
cp net.h5 "$2"
"""
LONG = ("score", "net.h5", "pool.h5", "-o", "s.h5")


def start(dfal, ranks, *words, shell=None, environment=None, before=()):
    """The command on so many ranks; shell: a script of each rank's, "$@" is the command; before: words before mpirun."""
    mpirun = shlex.split(os.environ["DFAL_MPIRUN"])
    line = [*before, *mpirun, "-np", str(ranks)]
    if shell is not None:
        line += ["sh", "-c", shell, "sh"]
    return subprocess.Popen([*line, dfal.path, "--threads", "1", *map(str, words)], cwd=dfal.folder, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                            env={**os.environ, **(environment or {})})


def finish(process, code=0):
    """(stdout, stderr); mpirun's exit code is that of the first rank that failed."""
    out, err = process.communicate(timeout=120)
    check(process.returncode == code, f"exit code {process.returncode}, expected {code}\n{err}")
    return out, err


def run(dfal, ranks, *words, code=0, shell=None, environment=None):
    return finish(start(dfal, ranks, *words, shell=shell, environment=environment), code)


def on_small_disk(dfal, ranks, size, *words):
    """The command on ranks that share a file system of so many bytes, "small", which is "kept" when they have ended: exit
    code and stderr. None: it cannot be mounted here."""
    mount = ["unshare", "--mount", "sh", "-c", 'mkdir small kept && mount -t tmpfs -o size="$0" none small && "$@"; '
             "code=$?; cp -a small/. kept; exit $code", str(size)]
    if subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False).returncode:
        print("not run because a tmpfs cannot be mounted here", flush=True)
        return None
    process = start(dfal, ranks, *words, before=mount)
    _, err = process.communicate(timeout=120)
    return process.returncode, err


def settle(dfal, process):
    """Behind a kill: mpirun's stderr, and whether it ended by itself. With PMIx 4.2.2 it may lock up in its own end
    (PMIx_server_finalize) when a rank was killed, long after the last rank is gone."""
    since = time.monotonic()
    while process.poll() is None:
        if pids(dfal):
            since = time.monotonic()
        if time.monotonic() - since > 60:
            process.kill()
            return process.communicate()[1], False
        time.sleep(0.02)
    return process.communicate()[1], True


def prepare(dfal, rows):
    make_pool(dfal.at("train.h5"), 400, 1)
    make_pool(dfal.at("pool.h5"), rows, 2)
    dfal.run("-q", "train", "--net", "lenet5", "train.h5", "-o", "net.h5", "--epochs", "2")


def refuses(dfal, ranks, code, *words, says, shell=None):
    """All ranks end; what is said stands in one line of dfal's."""
    out, err = run(dfal, ranks, "-q", *words, code=code, shell=shell)
    check(out == "", f"an error printed results: {out}")
    lines = [line for line in err.splitlines() if line.startswith("dfal: ")]
    check(any(all(word in line for word in says) for line in lines), f"{says} is said in none of {lines}")
    left = [name for name in os.listdir(dfal.folder) if ".tmp." in name or name.endswith(".parts")]
    check(not left, f"{left} are left")


def pids(dfal):
    """The ranks at work, without mpirun."""
    return [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and is_rank(pid, dfal)]


def is_rank(pid, dfal):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().split(b"\0")
        return words[0] == dfal.path.encode() and os.readlink(f"/proc/{pid}/cwd") == dfal.folder
    except OSError:
        return False


def wait_for_parts(dfal, process, name="s.h5.parts"):
    """Until the job has kept something."""
    for _ in range(3000):
        if os.path.isdir(dfal.at(name)) and any(part.endswith(".h5") for part in os.listdir(dfal.at(name))):
            return
        check(process.poll() is None, "the job has ended early")
        time.sleep(0.01)
    check(False, f"{name} never came")


def same_files(dfal):
    prepare(dfal, 5000)
    more = ("--max-iter", "3", "--adversarial", "7")
    dfal.run("-q", "score", "net.h5", "pool.h5", "-o", "one.h5", *more)
    out, err = run(dfal, 3, "score", "net.h5", "pool.h5", "-o", "three.h5", *more)
    same_bits(dfal.at("one.h5"), dfal.at("three.h5"))
    check(out.count("margin quantiles") == 1 and err.count("3 ranks by mpi") == 1, f"not said once: {out}\n{err}")
    check(not os.path.exists(dfal.at("three.h5.parts")), "parts are left")
    dfal.run("-q", "logits", "net.h5", "pool.h5", "--node", "fc1", "-o", "l1.h5")
    run(dfal, 2, "-q", "logits", "net.h5", "pool.h5", "--node", "fc1", "-o", "l2.h5", "--range", "100:4800")
    run(dfal, 4, "-q", "logits", "net.h5", "pool.h5", "--node", "fc1", "-o", "l4.h5")
    same_bits(dfal.at("l1.h5"), dfal.at("l4.h5"))
    make_pool(dfal.at("few.h5"), 3, 4)  # more ranks than shards
    dfal.run("-q", "score", "net.h5", "few.h5", "-o", "few1.h5")
    run(dfal, 4, "-q", "score", "net.h5", "few.h5", "-o", "few4.h5")
    same_bits(dfal.at("few1.h5"), dfal.at("few4.h5"))


def closest(dfal):
    """The file of the closest that one process writes, whoever has looked at which row; what is told of them; and the
    same after a kill, of one process as of more ranks."""
    prepare(dfal, 5000)
    for numbers, more in (((2, 3), ("--closest", "9", "--adversarial", "3")), ((3,), ("--closest", "30", "--cascade")),
                          ((2,), ("--closest", "5000", "--cascade", "--max-iter", "2"))):
        told = [dfal.json("score", "net.h5", "pool.h5", "-o", "one.h5", "--force", *more)]
        for ranks in numbers:
            out, _ = run(dfal, ranks, "-q", "--force", "--json", "score", "net.h5", "pool.h5", "-o", "more.h5", *more)
            same_bits(dfal.at("one.h5"), dfal.at("more.h5"))
            told.append(json.loads(out))
            for key in ("status", "deepfool_samples", "closest_margin", "audited", "audit_found", "recall"):
                check(told[0][key] == told[-1][key], f"{more}: {key} is {told[-1][key]}, expected {told[0][key]}")
    make_pool(dfal.at("few.h5"), 3, 4)  # more ranks than shards
    dfal.run("-q", "score", "net.h5", "few.h5", "--closest", "2", "-o", "few1.h5")
    run(dfal, 4, "-q", "score", "net.h5", "few.h5", "--closest", "2", "-o", "few4.h5")
    same_bits(dfal.at("few1.h5"), dfal.at("few4.h5"))
    words = ("-q", "score", "net.h5", "pool.h5", "--closest", "2000", "-o")
    dfal.run(*words, "one.h5", "--force")
    process = start(dfal, 3, *words, "killed.h5")
    while len(pids(dfal)) < 3:
        check(process.poll() is None, "the job has ended early")
        time.sleep(0.01)
    os.kill(pids(dfal)[-1], signal.SIGKILL)
    settle(dfal, process)
    check(process.returncode != 0 and not os.path.exists(dfal.at("killed.h5")), "a killed rank was not told")
    run(dfal, 2, *words, "killed.h5")
    same_bits(dfal.at("one.h5"), dfal.at("killed.h5"))
    full = on_small_disk(dfal, 3, 450000, *words, "small/torn.h5")  # room for the parts alone
    if full is None:
        return
    parts = sorted(os.listdir(dfal.at("kept/torn.h5.parts")))
    check(full[0] in (74, 75) and len(parts) > 2, f"{full}, left {parts}")
    os.remove(dfal.at("kept/torn.h5.parts/" + parts[1]))
    shutil.copytree(dfal.at("kept"), dfal.at("alone"))
    dfal.run(*words, "alone/torn.h5")
    run(dfal, 2, *words, "kept/torn.h5")
    for folder in ("alone", "kept"):
        same_bits(dfal.at("one.h5"), dfal.at(folder + "/torn.h5"))
        check(os.listdir(dfal.at(folder)) == ["torn.h5"], f"left: {os.listdir(dfal.at(folder))}")


def killed(dfal):
    """A rank that dies costs what it had begun."""
    prepare(dfal, 20000)
    process = start(dfal, 3, "-q", *LONG)
    wait_for_parts(dfal, process)
    os.kill(pids(dfal)[-1], signal.SIGKILL)
    err, _ = settle(dfal, process)
    check(process.returncode != 0, f"a killed rank was not told: {err}")
    kept = [name for name in os.listdir(dfal.at("s.h5.parts")) if name.endswith(".h5")]
    check(kept and not os.path.exists(dfal.at("s.h5")), f"nothing is kept: {kept}")
    before = {name: os.stat(dfal.at("s.h5.parts/" + name)).st_mtime_ns for name in kept}
    shutil.copytree(dfal.at("s.h5.parts"), dfal.at("t.h5.parts"))
    process = start(dfal, 2, "-q", *LONG)
    time.sleep(0.5)
    while process.poll() is None:
        for name, when in before.items():
            try:
                check(os.stat(dfal.at("s.h5.parts/" + name)).st_mtime_ns == when, f"{name} was computed again")
            except FileNotFoundError:
                pass  # the file has its name
        time.sleep(0.05)
    finish(process)
    dfal.run("-q", "score", "net.h5", "pool.h5", "-o", "t.h5")  # one process goes on with the parts of three
    dfal.run("-q", "score", "net.h5", "pool.h5", "-o", "whole.h5")
    same_bits(dfal.at("whole.h5"), dfal.at("s.h5"))
    same_bits(dfal.at("whole.h5"), dfal.at("t.h5"))


def pid_of(dfal, rank):
    """Of one that mpirun has started, once it runs."""
    mark = f"OMPI_COMM_WORLD_RANK={rank}".encode()
    for _ in range(3000):
        for pid in pids(dfal):
            with open(f"/proc/{pid}/environ", "rb") as file:
                if mark in file.read().split(b"\0"):
                    return pid
        time.sleep(0.01)
    check(False, f"rank {rank} never began")
    return None


def first_killed(dfal):
    """Rank 0, which has the output, the claims and the news of the others, dies first: all end, and what they have
    finished is what others go on with."""
    prepare(dfal, 16000)
    process = start(dfal, 3, "-q", *LONG)
    wait_for_parts(dfal, process)
    os.kill(pid_of(dfal, 0), signal.SIGKILL)
    err, by_itself = settle(dfal, process)
    check(process.returncode == 128 + signal.SIGKILL or not by_itself, f"exit code {process.returncode}, expected that of a kill: {err}")
    check(not pids(dfal) and not os.path.exists(dfal.at("s.h5")), "ranks are still at work, or the file is there")
    kept = [name for name in os.listdir(dfal.at("s.h5.parts")) if name.endswith(".h5")]
    check(kept, "nothing is kept")
    _, err = run(dfal, 2, "--log-format", "json", *LONG)
    resumed = [json.loads(line) for line in err.splitlines() if '"score.resume"' in line]
    check(len(resumed) == 1 and resumed[0]["rows"] > 0, f"two ranks began anew: {err}")
    dfal.run("-q", "score", "net.h5", "pool.h5", "-o", "whole.h5")
    same_bits(dfal.at("whole.h5"), dfal.at("s.h5"))


def early(dfal):
    """A signal while MPI still waits for a rank, which never comes: the ranks that are there end at once."""
    prepare(dfal, 300)
    absent = 'if [ "$OMPI_COMM_WORLD_RANK" = 1 ]; then exec sleep 1000; fi; exec "$@"'
    process = start(dfal, 2, "-q", *LONG, shell=absent)
    pid = pid_of(dfal, 0)
    for _ in range(3000):  # MPI has begun with threads of its own
        if len(os.listdir(f"/proc/{pid}/task")) > 1:
            break
        time.sleep(0.01)
    os.kill(pid, signal.SIGUSR1)
    _, err = finish(process, 75)
    check("before all ranks had begun" in err and not os.path.exists(dfal.at("s.h5.parts")), err)


def failing(dfal):
    """One rank that cannot go on ends all of them: too little memory, and a file system that runs full. mpirun's exit code
    is that of the rank that ended first: of the one that failed, or 75 of one that stopped for it."""
    prepare(dfal, 5000)
    script = 'if [ "$OMPI_COMM_WORLD_RANK" = %d ]; then exec "$@" --memory 1M; fi; exec "$@"'
    for rank in (1, 0):
        refuses(dfal, 2, 69, *LONG, shell=script % rank, says=["--memory"])
    full = on_small_disk(dfal, 3, 150000, "-q", "score", "net.h5", "pool.h5", "-o", "small/s.h5")
    if full is None:
        return
    code, err = full
    said = [line for line in err.splitlines() if line.startswith("dfal: ")]
    check(code in (74, 75), f"exit code {code}, expected 74, or 75 of a rank that stopped for it: {err}")
    check(any("No space left on device" in line for line in said), f"the disk is not named: {err}")
    check(len(said) <= 4 and not pids(dfal), f"not one sentence a rank: {said}")
    left = [name for name in os.listdir(dfal.at("kept")) if name != "s.h5.parts"]
    check(not left and not any(".tmp." in name for name in os.listdir(dfal.at("kept/s.h5.parts"))), f"left: {left}")
    dfal.run("-q", "score", "net.h5", "pool.h5", "-o", "whole.h5")
    run(dfal, 2, "-q", "score", "net.h5", "pool.h5", "-o", "kept/s.h5")
    same_bits(dfal.at("whole.h5"), dfal.at("kept/s.h5"))


def signalled(dfal):
    """A signal that one rank is sent stops all of them, with what is finished kept; nobody else takes the output."""
    prepare(dfal, 16000)
    process = start(dfal, 3, "-q", *LONG)
    wait_for_parts(dfal, process)
    _, err = dfal.run("-q", *LONG, code=73)
    check("s.h5" in err, f"a second job is not told whose output it is: {err}")
    os.kill(pids(dfal)[-1], signal.SIGUSR1)
    _, err = finish(process, 75)
    check(len([line for line in err.splitlines() if "the same line continues" in line]) >= 1, f"not said: {err}")
    run(dfal, 2, "-q", *LONG)
    dfal.run("-q", "score", "net.h5", "pool.h5", "-o", "whole.h5")
    same_bits(dfal.at("whole.h5"), dfal.at("s.h5"))


def selected(dfal):
    """The queries of one process, of margins, of logits and of neither, and nothing is left beside them."""
    prepare(dfal, 2000)
    for strategy, more in (("dfal", ["--twins", "twins.h5"]), ("entropy", []), ("coreset-greedy", ["--subsample", "300"])):
        words = ["select", "net.h5", "pool.h5", "--strategy", strategy, "--count", "9", *more]
        dfal.run("-q", "--force", *words, "-o", "one.csv")
        out, _ = run(dfal, 2, "-q", *words, "-o", "two.csv", *(["--force"] if more else []))
        same_file(dfal.at("one.csv"), dfal.at("two.csv"))
        check(out.count("rank") == 1, f"the queries are told more than once: {out}")
        left = [name for name in os.listdir(dfal.folder) if name.startswith("two.csv.")]
        check(not left, f"{left} is left")
        os.remove(dfal.at("two.csv"))
    run(dfal, 2, "-q", "select", "net.h5", "pool.h5", "--strategy", "dfal", "--count", "3", "-o", "no/two.csv", code=73)


def spread(dfal):
    """Ranks that choose together, each from a part of the candidates: the queries of one process; a rank that is killed or
    stopped meanwhile ends all of them."""
    prepare(dfal, 700)
    samples, labels = digits(700, 2)
    samples[1::9] = samples[0]  # equal rows in all parts
    labels[4:] = -1
    write_pool(dfal.at("pool.h5"), samples, labels)
    dfal.run("-q", "logits", "net.h5", "pool.h5", "-o", "l.h5")
    for strategy, more in (("coreset-greedy", []), ("badge", []), ("badge", ["--logits", "l.h5"])):
        words = ["select", "net.h5", "pool.h5", "--strategy", strategy, *more]
        dfal.run("-q", "--force", *words, "--count", "100", "-o", "one.csv")
        for ranks in (2, 3):
            run(dfal, ranks, "-q", "--force", *words, "--count", "100", "-o", "more.csv")
            same_file(dfal.at("one.csv"), dfal.at("more.csv"))
    left = [name for name in os.listdir(dfal.folder) if name.startswith("more.csv.")]
    check(not left, f"{left} is left")
    shell = 'if [ "$OMPI_COMM_WORLD_RANK" = 1 ]; then exec "$@" --seed 2; fi; exec "$@"'
    refuses(dfal, 2, 78, *words, "--count", "5", "-o", "no.csv", shell=shell,
            says=["rank 1 on", "has seed '2'", "expected the same on all ranks"])
    make_pool(dfal.at("pool.h5"), 10000, 2)
    words = ["--log-format", "json", "select", "net.h5", "pool.h5", "--strategy", "coreset-greedy", "--count", "10000"]
    for number in (signal.SIGKILL, signal.SIGUSR1):
        process = start(dfal, 3, *words, "-o", "long.csv")
        while "select.begin" not in process.stderr.readline():
            check(process.poll() is None, "the selection has ended early")
        time.sleep(1)  # of the many that the distances take
        os.kill(pids(dfal)[-1], number)
        err, _ = settle(dfal, process)
        check(process.returncode != 0 and not os.path.exists(dfal.at("long.csv")), f"{number} did not end all: {err}")
        check(not pids(dfal), f"{number} left ranks at work")


def selected_closest(dfal):
    """Ranks that look for the smallest margins alone, proven or audited: the queries of one process, twins and log alike."""
    prepare(dfal, 3000)
    for strategy, more in (("dfal", ["--twins", "twins.h5"]), ("dfal-diverse", ["--option", "rho=1"]),
                           ("dfal-diverse", ["--cascade"]), ("dfal", ["--cascade", "--subsample", "900"])):
        words = ["--log-format", "json", "--force", "select", "net.h5", "pool.h5", "--strategy", strategy, "--count", "6", *more]
        said = []
        for ranks in (1, 3):
            _, err = run(dfal, ranks, *words, "-o", f"{ranks}.csv")
            told = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
            said.append([{key: one[key] for key in one if key not in ("time", "level", "message")} for one in told
                         if one["event"] in ("closest.needed", "closest.audit")])
        same_file(dfal.at("1.csv"), dfal.at("3.csv"))
        check(said[0] == said[1] and len(said[0]) == 1, f"{strategy} {more}: {said}")
    left = [name for name in os.listdir(dfal.folder) if name.startswith(("1.csv.", "3.csv."))]
    check(not left, f"{left} is left")


def selected_left(dfal):
    """What ranks that were killed have left of the margins is what one process, and other ranks, go on with; another
    selection leaves it alone, or removes it by force."""
    prepare(dfal, 12000)
    words = ("-q", "select", "net.h5", "pool.h5", "--strategy", "dfal", "--count", "100")
    parts = "{}.csv.scores.h5.parts"
    process = start(dfal, 3, *words, "-o", "alone.csv")
    wait_for_parts(dfal, process, parts.format("alone"))
    os.kill(pids(dfal)[-1], signal.SIGKILL)
    settle(dfal, process)
    check(process.returncode != 0 and not os.path.exists(dfal.at("alone.csv")), "a killed rank was not told")
    left = [name for name in os.listdir(dfal.at(parts.format("alone"))) if name.endswith(".h5")]
    check(left, "nothing is left")
    for name in ("ranks", "other"):
        shutil.copytree(dfal.at(parts.format("alone")), dfal.at(parts.format(name)))
    dfal.run(*words, "-o", "whole.csv")
    _, err = dfal.run("--log-format", "json", *words[1:], "-o", "alone.csv")
    resumed = [json.loads(line) for line in err.splitlines() if '"score.resume"' in line]
    check(len(resumed) == 1 and resumed[0]["rows"] > 0, f"one process began anew: {err}")
    run(dfal, 2, *words, "-o", "ranks.csv")
    for name in ("alone", "ranks"):
        same_file(dfal.at("whole.csv"), dfal.at(name + ".csv"))
    another = ("select", "net.h5", "pool.h5", "--strategy", "entropy", "--count", "100", "-o", "other.csv")
    for ranks in (1, 2):
        run(dfal, ranks, "-q", *another, code=78)
    dfal.refuses(78, *another, says=["other.csv.scores.h5.parts", "another selection", "--force"])
    dfal.refuses(78, *words, "--max-iter", "3", "-o", "other.csv", says=["other.csv.scores.h5.parts", "max_iter", "--force"])
    dfal.run("-q", "--force", *another)
    names = [name for name in os.listdir(dfal.folder) if ".csv." in name]
    check(not names, f"{names} are left")


def experiments(dfal):
    """The tables of one process, also where a rank was killed and fewer or more go on."""
    make_pool(dfal.at("train.h5"), 500, 1)
    make_pool(dfal.at("test.h5"), 200, 2)
    with open(dfal.at("run.yaml"), "w", encoding="utf-8") as file:
        file.write("data: {train: train.h5, test: test.h5}\nnetwork: lenet5\nstrategies: [dfal, random, entropy]\n"
                   "initial: 20\nquery: 20\nannotations: 60\ntrials: 2\n"
                   "training: {restarts: 1, epochs: 6, validation: 0}\n")
    dfal.run("-q", "run", "run.yaml", "-o", "one")
    out, err = run(dfal, 2, "run", "run.yaml", "-o", "two")
    same_runs(dfal.at("one"), dfal.at("two"))
    told = [err.count(line) for line in ("trial 2, entropy: 60 annotations", "all trials are finished", "report: ")]
    check(told == [1, 1, 1] and out, f"not said once:\n{out}{err}")
    rounds = [line for line in open(dfal.at("two/log.jsonl"), encoding="utf-8") if '"run.round"' in line]
    check(len(rounds) == 18 and os.path.isfile(dfal.at("two/report.html")), f"the log has {len(rounds)} rounds")
    process = start(dfal, 3, "-q", "run", "run.yaml", "-o", "three")
    wait_for_lines(dfal, process, "three/curve.csv", 6)
    os.kill(pids(dfal)[-1], signal.SIGKILL)
    err, _ = settle(dfal, process)
    check(process.returncode != 0, f"a killed rank was not told: {err}")
    run(dfal, 2, "-q", "run", "run.yaml", "-o", "three", "--resume")
    same_runs(dfal.at("one"), dfal.at("three"))
    script = 'if [ "$OMPI_COMM_WORLD_RANK" = 1 ]; then exec "$@" --set query=10; fi; exec "$@"'
    refuses(dfal, 2, 78, "run", "run.yaml", "-o", "four", shell=script,
            says=["rank 1 on", "has configuration, line", "query: 10", "expected the same on all ranks"])
    check(not os.path.exists(dfal.at("four")), "a refused run has left a folder")


def shares(err):
    """Of each training (own, restarts): how many restarts rank 0 has trained itself, of how many."""
    events = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    return {(event["own"], event["restarts"]) for event in events if event["event"] == "train.share"}


def wait_for_lines(dfal, process, name, count):
    """Until a table has so many lines."""
    while not os.path.exists(dfal.at(name)) or sum(1 for _ in open(dfal.at(name), encoding="utf-8")) < count:
        check(process.poll() is None, "the run has ended early")
        time.sleep(0.01)


def crews(dfal):
    """More ranks than strategies and trials: those of one share its restarts and what is read of candidates. The tables of one
    process, also where a rank is killed or stopped and another number of ranks goes on."""
    make_pool(dfal.at("train.h5"), 500, 1)
    make_pool(dfal.at("test.h5"), 200, 2)
    text = ("data: {train: train.h5, test: test.h5}\nnetwork: lenet5\nstrategies: [%s]\ninitial: 20\nquery: 20\n"
            "annotations: 80\ntrials: 1\ntransfer: lenet5\n"
            "training: {restarts: 5, epochs: 6, validation: 0.2, patience: 3}\n")
    for name, strategies in (("one", "dfal"), ("two", "dfal+ceal, coreset-greedy")):
        with open(dfal.at(name + ".yaml"), "w", encoding="utf-8") as file:
            file.write(text % strategies)
        dfal.run("-q", "run", name + ".yaml", "-o", name)
    for ranks, own in ((2, 3), (4, 2)):
        out = f"one{ranks}"
        _, err = run(dfal, ranks, "-v", "--log-format", "json", "run", "one.yaml", "-o", out)
        same_runs(dfal.at("one"), dfal.at(out))
        same_file(dfal.at("one/transfer.csv"), dfal.at(out + "/transfer.csv"))
        check(shares(err) == {(own, 5)}, f"rank 0 of {ranks} has trained {shares(err)}")
        check(err.count('"run.crews"') == 1 and err.count('"run.round"') == 4, f"not said once: {err}")
    run(dfal, 3, "-q", "run", "two.yaml", "-o", "two3")  # two ranks for the first, one for the second
    same_runs(dfal.at("two"), dfal.at("two3"))
    process = start(dfal, 3, "-q", "run", "one.yaml", "-o", "killed")
    wait_for_lines(dfal, process, "killed/curve.csv", 3)
    os.kill(pids(dfal)[-1], signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    check(process.returncode != 0, f"a killed rank was not told: {err}")
    process = start(dfal, 2, "-q", "run", "one.yaml", "-o", "killed", "--resume")
    wait_for_lines(dfal, process, "killed/curve.csv", 4)
    os.kill(pids(dfal)[-1], signal.SIGUSR1)
    finish(process, 75)
    run(dfal, 4, "-q", "run", "one.yaml", "-o", "killed")
    same_runs(dfal.at("one"), dfal.at("killed"))


def alone(dfal):
    """Somebody's trainer runs once a round, on one rank of the crew."""
    make_pool(dfal.at("train.h5"), 80, 1)
    make_pool(dfal.at("pool.h5"), 40, 2)
    dfal.run("-q", "train", "--net", "lenet5", "train.h5", "-o", "net.h5", "--epochs", "0")
    with open(dfal.at("trainer.sh"), "w", encoding="utf-8") as file:
        file.write('while [ "$1" != --out ]; do shift; done\necho >>runs; cp net.h5 "$2"\n')
    with open(dfal.at("run.yaml"), "w", encoding="utf-8") as file:
        file.write("data: {train: train.h5, test: pool.h5}\nstrategies: [entropy]\ninitial: 20\nquery: 20\n"
                   "annotations: 40\ntrials: 1\n")
    words = ("-q", "run", "run.yaml", "--trainer", "sh trainer.sh")
    dfal.run(*words, "-o", "one")
    run(dfal, 3, *words, "-o", "three")
    same_runs(dfal.at("one"), dfal.at("three"))
    check(os.path.getsize(dfal.at("runs")) == 4, "two rounds of two runs did not train once each")


def late(dfal):
    """A rank that has nothing more to do waits for the others before it looks what is left."""
    make_pool(dfal.at("train.h5"), 80, 1)
    make_pool(dfal.at("pool.h5"), 40, 2)
    dfal.run("-q", "train", "--net", "lenet5", "train.h5", "-o", "net.h5", "--epochs", "0")
    with open(dfal.at("trainer.sh"), "w", encoding="utf-8") as file:
        file.write(TRAINER)
    with open(dfal.at("run.yaml"), "w", encoding="utf-8") as file:
        file.write("data: {train: train.h5, test: pool.h5}\nstrategies: [random, entropy]\ninitial: 20\nquery: 20\nannotations: 40\ntrials: 1\n")
    words = ("-q", "run", "run.yaml", "--trainer", "sh trainer.sh")
    dfal.run(*words, "-o", "one")
    run(dfal, 2, *words, "-o", "two", shell='TEST_RANK=$OMPI_COMM_WORLD_RANK exec "$@"')
    same_runs(dfal.at("one"), dfal.at("two"))
    check(os.path.exists(dfal.at("begun")), "rank 1 has trained nothing")


def soak(dfal):
    """Ranks, and whole jobs, killed again and again at any moment: no row is lost or there twice. DFAL_SOAK_KILLS of
    them, 25 where it is not set; 200 take some ten minutes of an idle machine."""
    prepare(dfal, 8000)
    dfal.run("-q", "score", "net.h5", "pool.h5", "-o", "whole.h5")
    random = np.random.default_rng(7)
    kills = starts = finished = locked = 0
    while kills < int(os.environ.get("DFAL_SOAK_KILLS", "25")):
        starts += 1
        process = start(dfal, int(random.integers(2, 5)), "-q", *LONG)
        deadline = time.monotonic() + random.uniform(0.3, 1.8)
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        victims = pids(dfal)
        if process.poll() is None and victims:
            whole = random.random() < 0.3
            for pid in [process.pid] if whole else [victims[random.integers(len(victims))]]:
                os.kill(pid, signal.SIGKILL)
            kills += 1
            if kills % 20 == 0:
                print(f"{kills} kills in {starts} starts, {finished} finished files", flush=True)
        locked += not settle(dfal, process)[1]
        while pids(dfal):  # those that lost their mpirun end by themselves
            time.sleep(0.02)
        check(os.path.exists(dfal.at("s.h5")) or process.returncode != 0, "a job ended well without its file")
        if os.path.exists(dfal.at("s.h5")):
            same_bits(dfal.at("whole.h5"), dfal.at("s.h5"))
            os.remove(dfal.at("s.h5"))
            shutil.rmtree(dfal.at("s.h5.parts"), ignore_errors=True)
            finished += 1
    run(dfal, 2, "-q", *LONG)
    same_bits(dfal.at("whole.h5"), dfal.at("s.h5"))
    print(f"{kills} kills in {starts} starts, {finished + 1} finished files, all with the same bytes; "
          f"mpirun has locked up {locked} times")


def refusals(dfal):
    prepare(dfal, 300)
    make_pool(dfal.at("other.h5"), 300, 3)
    on_1 = 'if [ "$OMPI_COMM_WORLD_RANK" = 1 ]; then %s; fi; exec "$@"'
    refuses(dfal, 2, 78, *LONG, shell='if [ "$OMPI_COMM_WORLD_RANK" = 1 ]; then exec "$@" --isa avx2 --max-iter 3; fi; exec "$@"',
            says=["rank 1 on", "has max_iter '3'", "expected the same on all ranks"])
    os.mkdir(dfal.at("elsewhere"))
    for name in ("net.h5", "other.h5"):
        shutil.copy(dfal.at(name), dfal.at("elsewhere/" + name))
    refuses(dfal, 2, 66, *LONG, shell=on_1 % "cd elsewhere", says=["rank 1 on", "gave up", "pool.h5"])
    os.rename(dfal.at("elsewhere/other.h5"), dfal.at("elsewhere/pool.h5"))
    refuses(dfal, 2, 78, *LONG, shell=on_1 % "cd elsewhere", says=["rank 1 on", "pool_fingerprint"])
    shutil.copy(dfal.at("pool.h5"), dfal.at("elsewhere/pool.h5"))
    refuses(dfal, 2, 74, *LONG, shell=on_1 % "cd elsewhere", says=["s.h5.parts", "a file system that all ranks share"])
    dfal.refuses(69, *LONG, environment={"SLURM_STEP_NUM_TASKS": "4"}, says=["4 tasks", "start them by srun --mpi=pmix", "--shard K/4"])
    dfal.run("-q", *LONG, "--comm", "self", environment={"SLURM_STEP_NUM_TASKS": "4"})
    run(dfal, 2, "-q", *LONG, code=73)
    dfal.refuses(64, "info", "pool.h5", "--comm", "mpi", says="--comm")


def change_build(path):
    """Change a byte of the library's GNU build id; the ids before and now."""
    with open(path, "rb") as file:
        content = bytearray(file.read())
    head = b"\4\0\0\0\x14\0\0\0\3\0\0\0GNU\0"  # 4 bytes of name, 20 of id, type 3
    check(content.count(head) == 1, f"{path} has {content.count(head)} build ids")
    at = content.index(head) + len(head)
    before = content[at:at + 20].hex()
    content[at] ^= 1
    with open(path, "wb") as file:
        file.write(content)
    return before, content[at:at + 20].hex()


def builds(dfal):
    """Ranks of two builds of one version are refused before any work, unless it is asked for; copies of a build are one."""
    prepare(dfal, 300)
    with open(dfal.at("run.yaml"), "w", encoding="utf-8") as file:
        file.write("data: {train: train.h5, test: pool.h5}\nnetwork: lenet5\nstrategies: [random]\ninitial: 20\nquery: 20\n"
                   "annotations: 40\ntrials: 1\ntraining: {restarts: 1, epochs: 1, validation: 0}\n")
    folder = move_library(dfal)["LD_LIBRARY_PATH"]
    moved = f'if [ "$OMPI_COMM_WORLD_RANK" = 1 ]; then export LD_LIBRARY_PATH="{folder}"; fi; exec "$@"'
    run(dfal, 2, "-q", *LONG, shell=moved)
    os.rename(dfal.at("s.h5"), dfal.at("whole.h5"))
    library = next(name for name in os.listdir(folder) if name.startswith("libdfal.so"))
    first, other = change_build(os.path.join(folder, library))
    for words in (LONG, ("logits", "net.h5", "pool.h5", "-o", "l.h5"), ("run", "run.yaml", "-o", "run"),
                  ("select", "net.h5", "pool.h5", "--strategy", "dfal", "--count", "3", "-o", "q.csv")):
        refuses(dfal, 2, 78, *words, shell=moved,
                says=["rank 1 on", f"has build '{other}'", "rank 0 on", f"has '{first}'", "expected the same on all ranks", "--allow-mixed"])
        check(not os.path.exists(dfal.at(words[-1])), f"a refused {words[0]} has left its output")
    run(dfal, 2, "-q", "--allow-mixed", *LONG, shell=moved)
    same_bits(dfal.at("whole.h5"), dfal.at("s.h5"))


def by_themselves(dfal):
    """Processes that are no ranks, and would each do one and the same, are refused before they read anything; those that write
    nothing, or are meant to be on their own, are not."""
    prepare(dfal, 300)
    words_of = {"synth": ("synth", "-n", "9", "-o", "x.h5"), "import": ("import", "npy", "x.npy", "-o", "x.h5"),
                "train": ("train", "--net", "lenet5", "train.h5", "-o", "x.h5"), "merge": ("merge", "s1.h5", "-o", "x.h5"),
                "report": ("report", "run", "-o", "x.html"), "eval": ("eval", "net.h5", "pool.h5", "--confusion", "x.csv")}
    for name, words in words_of.items():
        says = ["would each do the whole job", f"start {name} once", "--comm self"]
        refuses(dfal, 2, 69, *words, says=["2 processes of mpirun", *says])
        dfal.refuses(69, *words, environment={"SLURM_STEP_NUM_TASKS": "3"}, says=["3 tasks of this Slurm step", *says])
        dfal.refuses(64, *words, "--comm", "mpi", says=["--comm", f"{name} is done by one process"])
    part = ("score", "net.h5", "pool.h5", "--shard", "1/2", "-o")
    # Each has its own, which the number of the process tells.
    own = 'exec "$@" --shard "$((OMPI_COMM_WORLD_RANK + 1))/2" -o "shard$OMPI_COMM_WORLD_RANK.h5"'
    run(dfal, 2, "-q", "score", "net.h5", "pool.h5", shell=own)
    dfal.run("-q", *part[:3], "--shard", "2/2", "-o", "task.h5", environment={"SLURM_STEP_NUM_TASKS": "3", "SLURM_PROCID": "1"})
    same_bits(dfal.at("shard1.h5"), dfal.at("task.h5"))
    for words in (("score", "net.h5", "pool.h5", "--shard", "4/4", "-o", "x.h5"), ("run", "run.yaml", "--trial", "4/4", "-o", "x")):
        says = [f"would each do all that {words[-4]} names", "share it by", "--comm mpi", "--comm self"]
        refuses(dfal, 2, 69, *words, says=["2 processes of mpirun", *says])
        dfal.refuses(69, *words, environment={"SLURM_STEP_NUM_TASKS": "3", "SLURM_PROCID": "2"},
                     says=["3 tasks of this Slurm step", "srun --mpi=pmix", *says])
    check(not [name for name in os.listdir(dfal.folder) if name.startswith("x")], "a refused command has left something")
    dfal.run("-q", *part, "one.h5", environment={"SLURM_STEP_NUM_TASKS": "1"})
    run(dfal, 1, "-q", *part, "first.h5")
    run(dfal, 2, "-q", *part, "shared.h5", "--comm", "mpi")
    for name in ("first.h5", "shared.h5"):
        same_bits(dfal.at("one.h5"), dfal.at(name))
    own = 'exec "$@" -o "own$OMPI_COMM_WORLD_RANK.h5"'
    run(dfal, 2, "-q", "train", "--net", "lenet5", "train.h5", "--epochs", "2", "--comm", "self", shell=own)
    for rank in range(2):
        same_bits(dfal.at("net.h5"), dfal.at(f"own{rank}.h5"))
    for words in (("info", "pool.h5"), ("eval", "net.h5", "pool.h5"), ("train", "--help"), ("status", "one.h5"),
                  ("score", "net.h5", "pool.h5", "--estimate")):
        out, _ = run(dfal, 2, "-q", *words)
        check(out, f"{words} says nothing")


if __name__ == "__main__":
    main({f.__name__: f for f in (same_files, selected, spread, closest, selected_closest, selected_left, experiments, crews, alone, late,
                                  killed, first_killed, signalled, early, failing, soak, refusals, builds, by_themselves)})
