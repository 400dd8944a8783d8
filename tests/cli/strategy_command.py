#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""dfal select and run --strategy-command CMD: somebody else's choice, here a few lines of Python."""
import csv
import glob
import json
import os
import signal
import sys
import time

import h5py
import numpy as np

from data import digits, make_pool
from support import alive, check, main, same_file, wait_for, write_pool

EXAMPLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples", "strategy_numpy.py")

FAKE = '''
import argparse, json, os, signal, subprocess, sys, time
p = argparse.ArgumentParser()
for name in "--candidates --count --seed --round --out".split():
    p.add_argument(name)
a = p.parse_args()
with open("calls.txt", "a") as file:
    file.write(json.dumps(vars(a)) + "\\n")
mode = (open("mode").read().split() if os.path.exists("mode") else []) + ["", "", ""]
q, way = int(a.count), mode[0]
# h5dump has done in a fifth of the time in which Python imports h5py.
dump = subprocess.run(["h5dump", "-y", "-w", "1", "-d", "/id", a.candidates], check=True, capture_output=True, text=True).stdout
ids = [line.strip().rstrip(",")[1:-1] for line in dump.split("DATA {")[1].splitlines() if line.strip().startswith('"')]
if way == "exit" and mode[1] in ("", a.round):
    print("first line\\nsomething went wrong: \\x1b[31mred")
    sys.exit(int(mode[2]))
if way == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
if way == "wait" and mode[1] == a.round:
    def stop(number, frame):
        open(a.out + ".checkpoint", "w").write(str(number))
        sys.exit(75)
    if mode[2]:
        signal.signal(signal.SIGTERM, stop)
    open("waiting", "w").close()
    while True:
        time.sleep(0.02)
if way == "kept":
    print("kept" if os.path.exists(a.out + ".checkpoint") else "not kept")
    open(a.out + ".checkpoint", "w").close()
    if mode[1] == "75":
        sys.exit(75)
named = ["id,score"] + ['"' + i.replace('"', '""') + f'",{k}' for k, i in enumerate(ids[:q])]
lines = {"bare": list(ids[:q]), "scored": [f"{i},{k}.5" for k, i in enumerate(ids[:q])],
         "all": list(ids), "few": list(ids[:2]), "twice": [ids[0], ids[1], ids[0]], "unknown": [ids[0], "nobody"], "header": ["id,score"], "column": ["name,score", ids[0]],
         "score": [ids[0] + ",1", ids[1] + ",high"], "fields": [ids[0] + ",1,2"], "last": list(ids[-q:]), "nan": [ids[3 % len(ids)], *ids[:2]],
         "other": [ids[0], mode[1]]}.get(way, named)
if way == "bytes":
    open(a.out, "wb").write(b"\\xff\\xfe\\x00\\xd8garbage\\n")
elif way == "latin":
    open(a.out, "wb").write(b"k\\xf6ln\\n")
elif way != "nothing":
    open(a.out, "w").write("".join(line + "\\n" for line in lines) if way != "empty" else "")
print("chose", q, "of", len(ids))
'''


def prepare(dfal, rows=60, labelled=10, ids=False):
    """A network, and a pool of which some rows are labelled."""
    make_pool(dfal.at("train.h5"), 200, 1)
    samples, truth = digits(rows, 2)
    truth[labelled:] = -1
    write_pool(dfal.at("pool.h5"), samples, truth)
    if ids:
        with h5py.File(dfal.at("pool.h5"), "a") as pool:
            pool["ids"] = [f"a,\"b\" {i}" if i % 3 else f"=1 {i}" for i in range(rows)]
    dfal.run("-q", "train", "--net", "lenet5", "train.h5", "-o", "net.h5", "--epochs", "1", "--threads", "1", "--force")
    with open(dfal.at("fake command.py"), "w", encoding="utf-8") as file:
        file.write(FAKE)
    return ["select", "net.h5", "pool.h5", "--strategy-command", f"{sys.executable} \"fake command.py\"", "--count", "5", "--threads", "1", "--force"]


def set_mode(dfal, *words):
    with open(dfal.at("mode"), "w", encoding="utf-8") as file:
        file.write(" ".join(words))


def calls(dfal):
    with open(dfal.at("calls.txt"), encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def rows_of(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def file_contents(dfal):
    """The file holds what dfal itself knows, and what is named comes back, whatever the ids are."""
    keeper = dfal.at("keep.py")
    with open(keeper, "w", encoding="utf-8") as file:
        file.write(f"import shutil, sys\nshutil.copy(sys.argv[2], 'kept.h5')\n{FAKE}")
    for ids in False, True:
        line = prepare(dfal, ids=ids)
        line[4] = f"{sys.executable} keep.py"
        dfal.run("-q", *line, "-o", "q.csv")
        dfal.run("-q", "logits", "net.h5", "pool.h5", "-o", "l.h5", "--force")
        with h5py.File(dfal.at("kept.h5")) as kept, h5py.File(dfal.at("l.h5")) as logits, \
                h5py.File(dfal.at("pool.h5")) as pool, h5py.File(dfal.at("net.h5")) as net:
            attributes = dict(kept.attrs)
            check(attributes["format"] == "dfal-candidates" and attributes["version"] == 1, f"{attributes}")
            check((attributes["count"], attributes["class_count"], attributes["round"], attributes["seed"], attributes["node"]) == (5, 10, 0, 1, ""),
                  f"{attributes}")
            check(attributes["network"] == dfal.at("net.h5") and attributes["pool"] == dfal.at("pool.h5"), f"{attributes}")
            check(kept["index"][()].tolist() == list(range(10, 60)), "other candidates")
            check(kept["labelled/index"][()].tolist() == list(range(10)), "other labelled rows")
            check((kept["labelled/label"][()] == pool["labels"][:10]).all(), "other labels")
            check((kept["logits"][()] == logits["logits"][10:]).all(), "other logits")
            check(kept["features"].shape == (50, 84) and kept["labelled/features"].shape == (10, 84), "other features")
            again = kept["features"][()]  # what fc2 reads: in front of fc3 there is nothing but dropout
            for name in "fc2", "fc3":
                again = again @ net[f"parameters/{name}/weight"][()].T + net[f"parameters/{name}/bias"][()]
            check(np.abs(again - kept["logits"][()]).max() < 1e-3, "the features are not what the last layers read")
            names = kept["id"].asstr()[()].tolist()
            check(names == (pool["ids"].asstr()[10:].tolist() if ids else [f"{names[0][:8]}:{i}" for i in range(10, 60)]), f"{names[:3]}")
        chosen = rows_of(dfal.at("q.csv"))
        check([int(row["index"]) for row in chosen] == list(range(10, 15)), f"{chosen}")
        check([float(row["score"]) for row in chosen] == [0, 1, 2, 3, 4] and {row["strategy"] for row in chosen} == {"command"}, f"{chosen}")
    # A node by name, logits of a file, a subsample; no labelled row at all.
    dfal.run("-q", *line, "-o", "q.csv", "--option", "node=conv3", "--logits", "l.h5", "--subsample", "20")
    with h5py.File(dfal.at("kept.h5")) as kept, h5py.File(dfal.at("l.h5")) as logits:
        check(kept.attrs["node"] == "conv3" and len(kept["index"]) == 20 and kept["features"].shape[1] > 84, "node")
        check((kept["logits"][()] == logits["logits"][()][kept["index"][()]]).all(), "other logits of a file")
    samples, _ = digits(30, 2)
    write_pool(dfal.at("pool.h5"), samples)
    dfal.run("-q", *line, "-o", "q.csv")
    with h5py.File(dfal.at("kept.h5")) as kept:
        check(kept["labelled/features"].shape == (0, 84) and len(kept["labelled/label"]) == 0, "labelled rows from nowhere")
    out, _ = dfal.run("-q", "info", "kept.h5")
    check("dfal-candidates" in out and "labelled/features" in out, out)


def example(dfal):
    """examples/strategy_numpy.py chooses what dfal's own strategies choose."""
    for ids in False, True:
        line = prepare(dfal, rows=150, labelled=20, ids=ids)
        for way, own in ("entropy", "entropy"), ("k-center", "coreset-greedy"):
            line[4] = f"{sys.executable} '{EXAMPLE}' {way}"
            dfal.run("-q", *line, "-o", "theirs.csv", "--count", "30")
            dfal.run("-q", "select", "net.h5", "pool.h5", "--strategy", own, "--count", "30", "--force", "-o", "ours.csv")
            theirs, ours = rows_of(dfal.at("theirs.csv")), rows_of(dfal.at("ours.csv"))
            check([row["id"] for row in theirs] == [row["id"] for row in ours], f"{way}: {theirs[:3]} {ours[:3]}")
            check(all(abs(float(a["score"]) - float(b["score"])) < 1e-4 for a, b in zip(theirs, ours)), f"{way}: other scores")
            same = [key for key in ours[0] if key not in ("strategy", "score")]
            check([[row[key] for key in same] for row in theirs] == [[row[key] for key in same] for row in ours], f"{way}: other columns")
        line[4] = f"{sys.executable} '{EXAMPLE}'"
        dfal.run("-q", *line, "-o", "density.csv")
        check(len(rows_of(dfal.at("density.csv"))) == 5, "density")


def answers(dfal):
    """What is named, well or badly."""
    line = prepare(dfal)
    for mode, indices in (("bare", range(10, 15)), ("scored", range(10, 15)), ("all", range(10, 15)), ("last", range(55, 60))):
        set_mode(dfal, mode)
        _, err = dfal.run(*line, "-o", "q.csv")
        chosen = rows_of(dfal.at("q.csv"))
        check([int(row["index"]) for row in chosen] == list(indices), f"{mode}: {chosen}")
        check([row["score"] for row in chosen] == ([f"{i}.5" for i in range(5)] if mode == "scored" else [""] * 5), f"{mode}: {chosen}")
        check("chose 5 of 50" in err and "ids in" in err, err)
    set_mode(dfal, "few")
    _, err = dfal.run(*line, "-o", "q.csv")
    check("named 2 ids" in err and "5 were asked for" in err and "no more candidates" not in err, err)
    check(len(rows_of(dfal.at("q.csv"))) == 2, "few")
    os.remove(dfal.at("q.csv"))
    name = dfal.json("info", "pool.h5")["fingerprint"][:8]
    for mode, says in ((("twice",), ("ids.csv:3:", f"{name}:10", "line 1 already")), (("unknown",), ("ids.csv:2:", "'nobody'", "pool.h5")),
                       (("other", f"{name}:3"), ("ids.csv:2:", f"{name}:3", "labelled already")), (("empty",), ("ids.csv", "empty")),
                       (("header",), ("ids.csv", "names no id")), (("nothing",), ("exit code 0", "left no", "ids.csv")),
                       (("score",), ("ids.csv:2:", "'high'", "number")), (("fields",), ("ids.csv:1:", "3 fields")),
                       (("column",), ("ids.csv:1:",)), (("bytes",), ("ids.csv",)), (("latin",), ("ids.csv:1:",))):
        set_mode(dfal, *mode)
        said = dfal.refuses(65, *line, "-o", "q.csv", says=(*says, "; it ends with: chose 5 of 50"))
        check("q.csv.command" not in said, f"{mode}: a path that is gone is named in: {said}")
        check(not glob.glob(dfal.at("q.csv*")), f"{mode}: left {glob.glob(dfal.at('q.csv*'))}")
    set_mode(dfal, "other", f"{name}:20")
    dfal.refuses(65, *line, "-o", "q.csv", "--subsample", "3", "--seed", "5", says="none of the candidates")
    # Fewer candidates than asked for: --count is what there is.
    set_mode(dfal)
    _, err = dfal.run(*line, "-o", "q.csv", "--count", "100")
    check(calls(dfal)[-1]["count"] == "50" and "no more candidates" in err and len(rows_of(dfal.at("q.csv"))) == 50, err)
    # A chosen row that is not finite: it is asked again without it.
    samples = np.random.default_rng(1).random((20, 1, 28, 28)).astype("f4")
    samples[0] = np.nan
    write_pool(dfal.at("pool.h5"), samples)
    set_mode(dfal, "nan")
    before = len(calls(dfal))
    _, err = dfal.run(*line, "-o", "q.csv", "--count", "3")
    check(len(calls(dfal)) == before + 2 and "1 row that the selection met is not finite" in err and "was passed over" in err, err)
    check([int(row["index"]) for row in rows_of(dfal.at("q.csv"))] == [4, 1, 2], f"{rows_of(dfal.at('q.csv'))}")


def failures(dfal):
    """A command that cannot be started or fails, and one too many."""
    line = prepare(dfal)
    set_mode(dfal, "exit", "0", "3")
    said = dfal.refuses(69, *line, "-o", "q.csv", says=("fake command.py", "exit code 3, expected 0; it ends with: first line | something went wrong:  [31mred"))
    check("q.csv.command" not in said, f"a path that is gone is named in: {said}")
    set_mode(dfal, "kill")
    dfal.refuses(69, *line, "-o", "q.csv", says="signal 9")
    set_mode(dfal)
    for command, code, says in (("/no/such/program x", 69, ("/no/such/program", "cannot be started")), ("sh -c 'open", 64, "open quote"),
                                ("  ", 64, "no words"), ("", 64, "--strategy-command")):
        dfal.refuses(code, *line[:4], command, *line[5:], "-o", "q.csv", says=says)
    dfal.refuses(64, *line, "-o", "q.csv", "--strategy", "entropy", says=("entropy", "one of them"))
    dfal.run("-q", *line, "-o", "q.csv", "--strategy", "command")
    dfal.refuses(64, *line[:3], "--strategy", "command", *line[5:], "-o", "x.csv", says="--strategy-command")
    dfal.refuses(64, *line[:3], *line[5:], "-o", "x.csv", says="--strategy")
    dfal.run("-q", "score", "net.h5", "pool.h5", "-o", "s.h5")
    dfal.refuses(64, *line, "-o", "x.csv", "--scores", "s.h5", says="command needs logits")
    dfal.refuses(64, *line, "-o", "x.csv", "--option", "node=fc9", says="fc9")
    os.mkdir(dfal.at("x.csv.command"))
    os.rename(dfal.at("s.h5"), dfal.at("x.csv.command/s.h5"))
    dfal.refuses(64, *line, "-o", "x.csv", "--logits", "x.csv.command/s.h5", says="x.csv.command")
    check(sorted(glob.glob(dfal.at("*.csv*"))) == [dfal.at("q.csv"), dfal.at("x.csv.command")], f"{os.listdir(dfal.folder)}")


def take(dfal, name):
    """Wait for a file that the command makes once, and remove it."""
    wait_for(dfal.at(name))
    os.remove(dfal.at(name))


def stops(dfal):
    """75, signals and kills of a selection: who asks for it is called again, and nothing else stays."""
    line = prepare(dfal)
    set_mode(dfal)
    dfal.run("-q", *line, "-o", "whole.csv")
    set_mode(dfal, "kept", "75")
    dfal.refuses(75, *line, "-o", "q.csv", says="the same line continues")
    check(os.path.exists(dfal.at("q.csv.command/round-0/ids.csv.checkpoint")), "the command's own checkpoint is gone")
    set_mode(dfal, "kept")
    _, err = dfal.run(*line, "-o", "q.csv")
    check("kept" in err and "not kept" not in err and not os.path.exists(dfal.at("q.csv.command")), err)
    same_file(dfal.at("whole.csv"), dfal.at("q.csv"))
    # Of another line nothing is taken over.
    set_mode(dfal, "kept", "75")
    dfal.refuses(75, *line, "-o", "q.csv")
    set_mode(dfal, "kept")
    _, err = dfal.run(*line, "-o", "q.csv", "--seed", "2")
    check("not kept" in err, err)
    for number, keeps in (signal.SIGTERM, True), (signal.SIGTERM, False), (signal.SIGINT, False):
        set_mode(dfal, "wait", "0", "checkpoint" if keeps else "")
        process = dfal.start("-q", *line, "-o", "q.csv")
        take(dfal, "waiting")
        process.send_signal(number)
        _, err = process.communicate(timeout=120)
        check(process.returncode == (75 if keeps else -number), f"{number}: {process.returncode} {err}")
        check(os.path.exists(dfal.at("q.csv.command")) == keeps, f"{number}: the folder")
    # Killed: the command does not live on, and the next line takes its folder away.
    process = dfal.start("-q", *line, "-o", "q.csv")
    take(dfal, "waiting")
    process.kill()
    process.communicate()
    for _ in range(1500):
        if not alive(f"{dfal.folder}/q.csv.command"):
            break
        time.sleep(0.02)
    check(not alive(f"{dfal.folder}/q.csv.command"), "the command has outlived dfal")
    set_mode(dfal)
    dfal.run("-q", *line, "-o", "q.csv")
    same_file(dfal.at("whole.csv"), dfal.at("q.csv"))
    check(not os.path.exists(dfal.at("q.csv.command")), "a killed line's folder is left")


# ---- run ---------------------------------------------------------------------------------------------------


def prepare_run(dfal, strategies="[entropy, random]", trials=1):
    make_pool(dfal.at("train.h5"), 200, 1)
    make_pool(dfal.at("test.h5"), 60, 2)
    with open(dfal.at("fake command.py"), "w", encoding="utf-8") as file:
        file.write(FAKE)
    with open(dfal.at("run.yaml"), "w", encoding="utf-8") as file:
        file.write(f"data: {{train: train.h5, test: test.h5}}\nstrategies: {strategies}\n"
                   f"initial: 20\nquery: 10\nannotations: 40\ntrials: {trials}\ntraining: {{restarts: 1, epochs: 3}}\n")
    return ["run", "run.yaml", "--threads", "1"]


def queries(dfal, folder, strategy):
    return [[value for key, value in row.items() if key not in ("strategy", "score")]
            for row in rows_of(dfal.at(f"{folder}/queries.csv")) if row["strategy"] == strategy]


def experiment(dfal):
    """Beside dfal's own strategies, by the caller's word or the file's, under its own name."""
    line = prepare_run(dfal, trials=2)
    command = f"{sys.executable} '{EXAMPLE}' entropy"
    _, err = dfal.run(*line, "--strategy-command", command, "-o", "d")
    check("chooses 10 of 180 candidates" in err and "named 10 ids in" in err, err)
    check(queries(dfal, "d", "command") == queries(dfal, "d", "entropy") and len(queries(dfal, "d", "command")) == 40, "other queries")
    curves = {name: [[v for k, v in row.items() if k != "strategy" and not k.endswith("_seconds")]
                     for row in rows_of(dfal.at("d/curve.csv")) if row["strategy"] == name] for name in ("command", "entropy")}
    check(curves["command"] == curves["entropy"], f"{curves}")
    left = sorted(os.path.relpath(path, dfal.at("d/state")) for path in glob.glob(dfal.at("d/state/*.command/*")))
    check(left == [f"command-{t}.command/command-{r}.log" for t in (1, 2) for r in (1, 2)], f"{left}")
    with open(dfal.at("d/state/command-1.command/command-2.log"), encoding="utf-8") as file:
        text = file.read()
    check("--round 2" in text and "entropy chose 10 of 170" in text, text)
    with open(dfal.at("d/config.yaml"), encoding="utf-8") as file:
        check("{name: command, command: " in file.read(), "config.yaml does not tell the command")
    out, _ = dfal.run("-q", "status", "d")
    check("command" in out, out)
    # What it is asked, with a seed that trials and rounds do not share; the network of the round before can be read.
    reader = "import h5py, os\nfile = h5py.File(a.candidates)\nassert os.path.exists(file.attrs['pool'])\n" \
             "assert h5py.File(file.attrs['network']).attrs['format'] == 'dfal-network'\n" \
             "assert len(file['labelled/label']) == 10 + 10 * int(a.round) and file.attrs['round'] == int(a.round)\n" \
             "assert (file['labelled/label'][()] == h5py.File(file.attrs['pool'])['labels'][()][file['labelled/index'][()]]).all()\n"
    with open(dfal.at("fake command.py"), "w", encoding="utf-8") as file:
        file.write(FAKE.replace("mode = ", reader + "mode = ", 1))
    entry = f"{{name: mine.1, command: '{sys.executable} \"fake command.py\"'}}"
    prepare = f"[{{command: '{sys.executable} \"fake command.py\"'}}, {entry}, random]"
    with open(dfal.at("run.yaml"), encoding="utf-8") as file:
        text = file.read().replace("[entropy, random]", prepare)
    with open(dfal.at("run.yaml"), "w", encoding="utf-8") as file:
        file.write(text)
    dfal.refuses(78, *line, "-o", "x", says=("run.yaml:2:", "fake command.py", "--allow-command", "strategy command"))
    check(not os.path.exists(dfal.at("x")) and not os.path.exists(dfal.at("calls.txt")), "the command of a file has run")
    dfal.run("-q", *line, "-o", "e", "--allow-command")
    seen = calls(dfal)
    check([c["round"] for c in seen] == ["1", "2"] * 4 and len({c["seed"] for c in seen}) == 4, f"{seen}")
    check(queries(dfal, "e", "command") == queries(dfal, "e", "mine.1"), "two commands")
    check(os.path.exists(dfal.at("e/networks/mine.1-1.h5")), f"{os.listdir(dfal.at('e/networks'))}")
    yaml, _ = dfal.run("-q", *line[:2], "--print-config")
    check("name: mine.1, command: " in yaml and yaml.count("  command: {") == 1, yaml)
    out, _ = dfal.run("-q", "report", "d", "e", "-o", "r.html")
    with open(dfal.at("r.html"), encoding="utf-8") as file:
        check("mine.1" in file.read(), "the report does not name it")


def refusals(dfal):
    """Configurations that cannot be, runs of other commands, failures between rounds."""
    line = prepare_run(dfal)
    command = f"{sys.executable} \"fake command.py\""
    for strategies, code, says in (("[command]", 78, ("command", "--strategy-command")), ("[{name: x}]", 64, "no command"),
                                   ("[{name: entropy, command: c}]", 64, "entropy"), ("[{name: a/b, command: c}]", 64, "a/b"),
                                   ("[{name: x, command: c}, {name: x, command: d}]", 64, "twice"), ("[{nam: x, command: c}]", 64, "nearest is 'name'"),
                                   ("[{name: x, name: y, command: c}]", 64, "second time"), ("[{name: [x], command: c}]", 64, "list"),
                                   ("[{name: x, command: 5}]", 64, "command"), ("[{name: x, command: \"'\"}]", 64, "open quote"),
                                   (f"[{{name: x, command: {'c' * 1100}}}]", 64, "1100 bytes"),
                                   ("[" + ", ".join(f"{{name: x{i}, command: c}}" for i in range(33)) + "]", 64, "more than 32")):
        dfal.refuses(code, *line, "--set", f"strategies={strategies}", "-o", "x", says=says)
    dfal.refuses(64, *line, "--strategy-command", "sh -c 'open", "-o", "x", says="open quote")
    check(not os.path.exists(dfal.at("x")), "a refused line leaves a folder")
    dfal.refuses(69, *line, "--strategy-command", "/no/such/program", "-o", "x", "--set", "strategies=[command]", says="cannot be started")
    line += ["--set", "strategies=[command]", "--strategy-command", command]
    set_mode(dfal)
    dfal.run("-q", *line, "-o", "whole")
    for mode, code, says in ((("exit", "2", "3"), 69, ("exit code 3", "command-2.log")), (("exit", "2", "75"), 75, "the same line continues"),
                             (("twice",), 65, ("round-1/ids.csv:3:",)), (("nothing",), 65, "left no")):
        set_mode(dfal, *mode)
        dfal.refuses(code, *line, "-o", mode[0] + str(code), says=says)
        dfal.refuses(78, *line[:-1], command + " x", "-o", mode[0] + str(code), says=("was made with strategies", ' x"}]'))
        set_mode(dfal)
        dfal.run("-q", *line, "-o", mode[0] + str(code))
        same_file(dfal.at("whole/queries.csv"), dfal.at(f"{mode[0]}{code}/queries.csv"))


def kills(dfal):
    """Killed while the command chooses: it does not live on, and the same line gives the same run."""
    line = prepare_run(dfal) + ["--set", "strategies=[command, random]", "--strategy-command", f"{sys.executable} \"fake command.py\""]
    set_mode(dfal)
    dfal.run("-q", *line, "-o", "whole")
    for turn, number in ("1", signal.SIGKILL), ("2", signal.SIGKILL), ("2", signal.SIGTERM):
        set_mode(dfal, "wait", turn, "checkpoint" if number == signal.SIGTERM else "")
        process = dfal.start("-q", *line, "-o", "d")
        take(dfal, "waiting")
        process.send_signal(number)
        process.communicate(timeout=120)
        check(process.returncode == (75 if number == signal.SIGTERM else -number), f"{process.returncode}")
        for _ in range(1500):
            if not alive(f"{dfal.folder}/d/state"):
                break
            time.sleep(0.02)
        check(not alive(f"{dfal.folder}/d/state"), "the command has outlived dfal")
    check(os.path.exists(dfal.at("d/state/command-1.command/round-2/ids.csv.checkpoint")), "its checkpoint is gone")
    set_mode(dfal)
    dfal.run("-q", *line, "-o", "d", "--resume")
    same_file(dfal.at("whole/queries.csv"), dfal.at("d/queries.csv"))
    curves = [[[v for k, v in row.items() if not k.endswith("_seconds")] for row in rows_of(dfal.at(f"{name}/curve.csv"))] for name in ("whole", "d")]
    check(curves[0] == curves[1], f"{curves}")


main({f.__name__: f for f in (file_contents, example, answers, failures, stops, experiment, refusals, kills)})
