#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""dfal run --trainer CMD: somebody else's trainer, here a few lines of h5py around `dfal train`."""
import csv
import glob
import json
import os
import shutil
import signal
import sys
import time

import h5py
import numpy as np

from data import make_pool
from support import alive, check, main, same_runs, wait_for

FAKE = '''
import argparse, csv, json, os, signal, subprocess, sys, time
p = argparse.ArgumentParser()
for name in "--pool --labels --twins --init --out --seed --round --dfal --mode".split():
    p.add_argument(name)
a = p.parse_args()
with open("calls.txt", "a") as file:
    file.write(json.dumps({k: v for k, v in vars(a).items() if k not in ("dfal", "mode")}) + "\\n")
mode = (open(a.mode).read().split() if a.mode and os.path.exists(a.mode) else []) + ["", ""]
if mode[0] == "exit" and a.round == mode[1]:
    print("first line\\nsomething went wrong: \\x1b[31mred", file=sys.stderr)
    sys.exit(int(mode[2]))
if mode[0] == "nothing":
    sys.exit(0)
if mode[0] == "garbage":
    open(a.out, "wb").write(b"garbage" * 100)
    sys.exit(0)
if mode[0] == "shape":
    sys.path.insert(0, os.environ["TESTS"])
    import numpy as np
    from data import write_linear
    size, classes = json.loads(mode[1])
    write_linear(a.out, np.ones((classes, size * size)), np.zeros(classes), (1, size, size))
    sys.exit(0)
if mode[0] == "folder":
    os.makedirs(a.out + "/assets/deep")
    sys.exit(0)
if mode[0] == "litter":
    for folder in (a.out + ".d", "logs-" + a.round):
        folder = os.path.join(os.path.dirname(a.out), folder)
        os.makedirs(folder + "/version_0/checkpoints", exist_ok=True)
        open(folder + "/version_0/checkpoints/last", "w").close()
        os.path.lexists(folder + "/data") or os.symlink(os.path.abspath("precious"), folder + "/data")
if mode[0] == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
if mode[0] == "child":
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
if mode[0] == "wait":
    def stop(number, frame):
        time.sleep(0.5)
        open(a.out + ".checkpoint", "w").write(str(number))
        sys.exit(75)
    if mode[2] == "checkpoint":
        for number in signal.SIGTERM, signal.SIGINT, signal.SIGUSR1:
            signal.signal(number, stop)
    open("waiting-" + a.round, "w").close()
    while a.round == mode[1]:
        time.sleep(0.02)
import h5py, numpy as np # late: most of what may happen above happens without them
with h5py.File(a.pool) as pool, h5py.File(a.out + ".pool", "w") as own:
    rows, labels = [], []
    for line in csv.DictReader(open(a.labels)):
        rows.append(int(line["id"].split(":")[1])); labels.append(int(line["label"]))
    x = np.stack([pool["samples"][r] for r in rows]) * pool.attrs["scale"][0] + pool.attrs["offset"][0]
    if a.twins:
        with h5py.File(a.twins) as twins:
            x = np.concatenate([x, twins["samples"][()]]); labels += list(twins["label"][()])
    own.attrs.update({"format": "dfal-pool", "version": 1, "class_count": 10, "scale": np.array([1.0]), "offset": np.array([0.0])})
    own["samples"] = x.astype("f4"); own["labels"] = np.array(labels, "i4")
done = subprocess.run([a.dfal, "-q", "train", "--net", a.init or "lenet5", a.out + ".pool", "-o", a.out, "--epochs", "3", "--threads", "1",
                       "--seed", a.seed, "--force"])
print("trained", len(labels), "rows")
sys.exit(done.returncode)
'''


def prepare(dfal, annotations=60, trials=1):
    make_pool(dfal.at("train.h5"), 400, 1)
    make_pool(dfal.at("test.h5"), 150, 2)
    with open(dfal.at("fake trainer.py"), "w", encoding="utf-8") as file:
        file.write(FAKE)
    with open(dfal.at("run.yaml"), "w", encoding="utf-8") as file:
        file.write("data: {train: train.h5, test: test.h5}\nstrategies: [dfal, random]\noptions: {dfal: {subsample: 40}}\n"
                   f"initial: 20\nquery: 20\nannotations: {annotations}\ntrials: {trials}\n")
    command = f"{sys.executable} \"fake trainer.py\" --dfal '{dfal.path}' --mode mo\\de"
    return ["run", "run.yaml", "--trainer", command, "--threads", "1"]


def set_mode(dfal, *words):
    with open(dfal.at("mode"), "w", encoding="utf-8") as file:
        file.write(" ".join(words))


def calls(dfal):
    with open(dfal.at("calls.txt"), encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def arguments(dfal):
    line = prepare(dfal, trials=2)
    _, err = dfal.run(*line, "-o", "d")
    seen = calls(dfal)
    check(len(seen) == 12 and [c["round"] for c in seen] == ["0", "1", "2"] * 4, f"{seen}")
    # A trial's strategies get the same seeds, another trial gets others.
    seeds = [c["seed"] for c in seen]
    check(seeds[:3] == seeds[3:6] and seeds[6:9] == seeds[9:] and len(set(seeds)) == 6, f"{seeds}")
    for number, call in enumerate(seen):
        check(call["pool"] == dfal.at("train.h5") and call["out"].endswith(f"/net-{call['round']}.onnx"), f"{call}")
        check((call["init"] is None) == (call["round"] == "0"), f"{call}")
        check((call["twins"] is None) == (call["round"] == "0" or number % 6 >= 3), f"{call}")
        check(0 <= int(call["seed"]) < 1 << 31, f"{call}")
    check(seen[1]["init"] == seen[0]["out"], f"{seen[1]}")
    logs = sorted(glob.glob(dfal.at("d/state/*/*")))
    check([os.path.basename(path) for path in logs] == ["trainer-0.log", "trainer-1.log", "trainer-2.log"] * 4, f"{logs}")
    with open(logs[2], encoding="utf-8") as file:
        text = file.read()
    check("--round 2" in text and "trained" in text, text)
    with open(dfal.at("d/config.yaml"), encoding="utf-8") as file:
        check("trainer: " in file.read(), "config.yaml does not tell the trainer")
    accuracy = dfal.json("eval", "d/networks/dfal-1.h5", "test.h5")["accuracy"]
    with open(dfal.at("d/curve.csv"), encoding="utf-8", newline="") as file:
        last = [row for row in csv.DictReader(file) if row["strategy"] == "dfal" and row["trial"] == "1"][-1]
    check(abs(float(last["accuracy"]) - accuracy) < 1e-6, f"{last} {accuracy}")
    check("is trained by" in err, err)
    # A network file of the user's is what round 0 starts from.
    os.remove(dfal.at("calls.txt"))
    dfal.run("-q", *line, "-o", "e", "--set", "network=d/networks/dfal-1.h5", "--set", "strategies=[random]",
             "--set", "annotations=20")
    check(calls(dfal)[0]["init"] == dfal.at("d/networks/dfal-1.h5"), f"{calls(dfal)}")


def contents(dfal):
    """The labels and twins that round 1 gets are those of queries.csv and of the strategy."""
    line = prepare(dfal, annotations=40)
    set_mode(dfal, "exit", "1", "3")
    _, err = dfal.run("-q", *line, "-o", "d", "--set", "strategies=[dfal]", code=69)
    folder = dfal.at("d/state/dfal-1.trainer")
    with open(folder + "/labels-1.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with h5py.File(dfal.at("train.h5")) as pool, h5py.File(folder + "/twins-1.h5") as twins:
        labels, samples = pool["labels"][()], pool["samples"][()] / 255.0
        check(len(rows) == 40, f"{len(rows)} labels")
        for row in rows:
            check(labels[int(row["id"].split(":")[1])] == int(row["label"]), f"{row}")
        count = len(twins["label"])
        check(0 < count <= 20 and twins.attrs["format"] == "dfal-twins", f"{count} twins")
        check([i.decode() for i in twins["id"][()]] == [row["id"] for row in rows[20:]][:count] or count < 20, "ids")
        distance = np.abs(twins["samples"][()] - samples[twins["index"][()]]).reshape(count, -1).max(1)
        check((distance > 0).all() and (distance < 1).all(), f"twins are {distance} away")
        check((twins["label"][()] == labels[twins["index"][()]]).all(), "twins have other labels")
        other = twins["adversarial_class"][()]
        check(((other >= 0) & (other < 10)).all() and (twins["rank"][()] == np.arange(count) + 1).all(), f"{other}")
        check(json.loads(twins["configuration"][()])["scale"] == [1 / 255.0], "twins do not tell the scale")
    # The names that a pool has for rows and classes; a class without a name of its own by its number.
    write_named(dfal.at("train.h5"))
    set_mode(dfal, "exit", "0", "3")
    dfal.run("-q", *line, "-o", "n", "--set", "strategies=[random]", "--set", "initial=40", "--set", "annotations=40", code=69)
    with open(dfal.at("n/state/random-1.trainer/labels-0.csv"), encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with h5py.File(dfal.at("train.h5")) as pool:
        for row in rows:
            number = int(row["id"].rsplit(" ", 1)[1])
            check(row["id"] in (f"a,\"b\" {number}", f"'=1 {number}"), f"{row}")
            label = pool["labels"][number]
            check(row["label"] == ("1", "0", "'-x", "3", "4", "five", "6", "7", "8", "9")[label], f"{row} of class {label}")
    # And dfal reads its own file back.
    with h5py.File(dfal.at("train.h5"), "r+") as pool:
        truth = pool["labels"][()]
        pool["labels"][()] = -1
    labelled = dfal.json("info", "train.h5", "--labels", "n/state/random-1.trainer/labels-0.csv")["labelled_per_class"]
    wanted = np.bincount([truth[int(row["id"].rsplit(" ", 1)[1])] for row in rows], minlength=10)
    check([int(n) for n in labelled] == wanted.tolist(), f"{labelled}, expected {wanted}")


def write_named(path):
    make_pool(path, 100, 3)
    with h5py.File(path, "r+") as pool:
        pool["ids"] = [f"a,\"b\" {i}" if i % 2 else f"=1 {i}" for i in range(100)]
        pool["classes"] = ["1", "0", "-x", "1", "", "five", "6", "7", "8", "9"]


def failures(dfal):
    line = prepare(dfal)
    set_mode(dfal, "exit", "1", "3")
    dfal.refuses(69, *line, "-o", "d", says=("exit code 3", "trainer-1.log", "first line | something went wrong:  [31mred"))
    set_mode(dfal)
    dfal.run("-q", *line, "-o", "d")
    dfal.run("-q", *line, "-o", "whole")
    same_runs(dfal.at("whole"), dfal.at("d"))
    for mode, code, says in (("nothing", 65, ("exit code 0", "left no", "net-0.onnx")),
                             ("garbage", 65, ("exit code 0", "net-0.onnx")), ("kill", 69, ("signal 9",)),
                             ("shape [14,10]", 65, ("net-0.onnx", "[1,14,14]", "trainer-0.log ends with: nothing")), ("shape [28,3]", 65, ("net-0.onnx", "3 classes"))):
        set_mode(dfal, mode)
        dfal.refuses(code, *line, "-o", mode, says=says, environment={"TESTS": os.path.dirname(os.path.abspath(__file__))})
        set_mode(dfal)
        dfal.run("-q", *line, "-o", mode)
        same_runs(dfal.at("whole"), dfal.at(mode))
    for command, code, says in (("/no/such/program x", 69, ("/no/such/program", "cannot be started")),
                                ("sh -c 'open", 64, "open quote"), ("  ", 64, "no words"), ("", 64, "--trainer")):
        dfal.refuses(code, "run", "run.yaml", "--trainer", command, "-o", "x", says=says)
        check(not os.path.exists(dfal.at("x")), f"'{command}' leaves a folder")
    # A file may name a command, but only the caller lets it run.
    with open(dfal.at("run.yaml"), "a", encoding="utf-8") as file:
        file.write("trainer: sh -c 'touch pwned'\n")
    dfal.refuses(78, "run", "run.yaml", "-o", "x", says=("run.yaml:8:", "--allow-command", "touch pwned"))
    check(not os.path.exists(dfal.at("pwned")), "the command of a file has run")
    dfal.refuses(65, "run", "run.yaml", "-o", "x", "--allow-command", says="exit code 0")
    check(os.path.exists(dfal.at("pwned")), "--allow-command does not allow it")
    out, _ = dfal.run("-q", "run", "run.yaml", "--print-config")
    check("trainer: \"sh -c 'touch pwned'\"" in out, out)
    # Its words stand as they are written, wherever the file lies, and --trainer beats them.
    os.mkdir(dfal.at("sub"))
    with open(dfal.at("run.yaml"), encoding="utf-8") as file:
        text = file.read().replace("train.h5", "../train.h5").replace("test.h5", "../test.h5")
    with open(dfal.at("sub/run.yaml"), "w", encoding="utf-8") as file:
        file.write(text.replace("sh -c 'touch pwned'", "sh ./none.sh"))
    _, err = dfal.run("-q", "run", "sub/run.yaml", "-o", "sub/x", "--allow-command", code=69)
    check("'sh ./none.sh'" in err and "exit code" in err, err)
    dfal.refuses(64, "run", "sub/run.yaml", "-o", "sub/y", "--trainer", "'", says="open quote")
    dfal.refuses(78, "run", "sub/run.yaml", "-o", "sub/x", "--trainer", "true", says='sub/x was made with trainer "sh ./none.sh", expected "true"')
    with open(dfal.at("sub/run.yaml"), "w", encoding="utf-8") as file:
        file.write(text.replace("sh -c 'touch pwned'", '"a \'b"'))
    dfal.refuses(78, "run", "sub/run.yaml", "-o", "sub/y", "--allow-command", says=("run.yaml:8:", "open quote"))


def leftovers(dfal):
    """Folders that the command leaves beside its network, or as its network, stand in nobody's way."""
    line = prepare(dfal, annotations=40)
    os.mkdir(dfal.at("precious"))
    with open(dfal.at("precious/file"), "w", encoding="utf-8"):
        pass
    set_mode(dfal, "folder")
    dfal.refuses(65, *line, "-o", "d", says="net-0.onnx")
    set_mode(dfal, "litter")
    dfal.run("-q", *line, "-o", "d")
    left = sorted(name for name in os.listdir(dfal.at("d/state/dfal-1.trainer")) if not name.startswith("trainer-"))
    check(left == ["logs-0", "logs-1"], f"of the rounds there are left: {left}")
    dfal.run("-q", *line, "-o", "d", "--force")
    set_mode(dfal, "kill")
    dfal.refuses(69, *line, "-o", "d", "--force")
    check(os.path.exists(dfal.at("precious/file")), "a link was followed")


def stops(dfal):
    line = prepare(dfal)
    dfal.run("-q", *line, "-o", "whole")
    for number, name in ((signal.SIGTERM, "term"), (signal.SIGINT, "int"), (signal.SIGUSR1, "usr1")):
        set_mode(dfal, "wait", "1", "checkpoint" if name != "int" else "")
        process = dfal.start("-q", *line, "-o", name)
        wait_for(dfal.at("waiting-1"))
        os.remove(dfal.at("waiting-1"))
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        check(process.returncode == 75, f"{name}: {process.returncode} {err}")
        kept = dfal.at(f"{name}/state/dfal-1.trainer/net-1.onnx.checkpoint")
        check(os.path.exists(kept) == (name != "int"), f"{name}: the trainer's own checkpoint: {name == 'int'}")
        if name != "int":
            with open(kept, encoding="utf-8") as file:
                check(file.read() == str(int(number)), f"{name}: another signal came")
        set_mode(dfal)
        dfal.run("-q", *line, "-o", name, "--resume")
        same_runs(dfal.at("whole"), dfal.at(name))
    # A script around the trainer dies of the signal; what it has called still writes its checkpoint.
    set_mode(dfal, "wait", "0", "checkpoint")
    os.remove(dfal.at("waiting-0"))  # of runs that waited later
    process = dfal.start("-q", *wrapped(dfal, line), "-o", "script")
    wait_for(dfal.at("waiting-0"))
    os.remove(dfal.at("waiting-0"))
    process.terminate()
    _, err = process.communicate(timeout=60)
    check(process.returncode == 75, f"script: {process.returncode} {err}")
    check(os.path.exists(dfal.at("script/state/dfal-1.trainer/net-0.onnx.checkpoint")), "the script's trainer was cut off")
    # 75 of the trainer's own accord, already in the first round.
    set_mode(dfal, "exit", "0", "75")
    dfal.refuses(75, *line, "-o", "own", says="the same line continues")
    set_mode(dfal)
    dfal.run("-q", *line, "-o", "own", "--resume")
    same_runs(dfal.at("whole"), dfal.at("own"))


def wrapped(dfal, line):
    with open(dfal.at("trainer.sh"), "w", encoding="utf-8") as file:
        file.write(line[3] + ' "$@"\nexit $?\n')
    return [*line[:3], "sh trainer.sh", *line[4:]]


def kills(dfal):
    """Killed in the middle of a trainer: it does not live on, and the same line gives the same run."""
    line = prepare(dfal)
    dfal.run("-q", *line, "-o", "whole")
    for turn, reached in enumerate(("0", "1", "2")):
        set_mode(dfal, "wait", reached, "")
        process = dfal.start("-q", *line, "-o", "d")
        wait_for(dfal.at(f"waiting-{reached}"))
        os.remove(dfal.at(f"waiting-{reached}"))
        process.kill()
        process.communicate()
        for _ in range(500):
            if not alive(f"{dfal.folder}/d/state"):
                break
            time.sleep(0.02)
        check(not alive(f"{dfal.folder}/d/state"), "the trainer has outlived dfal")
    set_mode(dfal, "wait", "0", "")
    os.remove(dfal.at("waiting-0"))  # of runs that waited later
    process = dfal.start("-q", *wrapped(dfal, line), "-o", "script")
    wait_for(dfal.at("waiting-0"))
    check(len(alive(f"{dfal.folder}/script/state")) == 2, "script and trainer")
    process.kill()
    process.communicate()
    for _ in range(500):
        if not alive(f"{dfal.folder}/script/state"):
            break
        time.sleep(0.02)
    check(not alive(f"{dfal.folder}/script/state"), "what a script has called has outlived dfal")
    set_mode(dfal, "child")
    begin = time.monotonic()
    dfal.run("-q", *line, "-o", "d")
    check(time.monotonic() - begin < 200, "what a trainer leaves behind is waited for")
    same_runs(dfal.at("whole"), dfal.at("d"))
    shutil.rmtree(dfal.at("d"))


main({f.__name__: f for f in (arguments, contents, failures, leftovers, stops, kills)})
