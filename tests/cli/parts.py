#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An experiment in parts: run --trial K/N, merge DIR... -o DIR, and what status and info say of both."""
import os
import shutil
import signal

import h5py
import numpy as np

from data import make_pool
from support import check, main, same_file, same_runs

CONFIG = """data: {train: train.h5, test: test.h5}
network: lenet5
strategies: [entropy, random]
initial: 8
query: 8
annotations: 16
trials: 2
training: {restarts: 1, epochs: 1, validation: 0}
"""


def prepare(dfal):
    make_pool(dfal.at("train.h5"), 60, 1)
    make_pool(dfal.at("test.h5"), 20, 2)
    with open(dfal.at("c.yaml"), "w", encoding="utf-8") as file:
        file.write(CONFIG)
    for k in (1, 2):
        dfal.run("-q", "run", "c.yaml", "--trial", f"{k}/2", "-o", f"p{k}")


def merged(dfal):
    prepare(dfal)
    dfal.run("-q", "run", "c.yaml", "-o", "whole")
    document = dfal.json("merge", "p2", "p1", "-o", "m/")
    check(document == {"output": "m/", "shards": 2}, f"merge says {document}")
    same_runs(dfal.at("whole"), dfal.at("m"))
    for name in ("config.yaml", "state/identity"):
        same_file(dfal.at(f"whole/{name}"), dfal.at(f"m/{name}"))
    status, info = dfal.json("status", "p2"), dfal.json("info", "p2")
    for told in (status, info):
        check((told["part"], told["part_trials"], told["total"]) == ("2 of 2", 1, 32), f"of a part: {told}")
    check([row["trials"] for row in status["table"]] == [1, 1] and status["table"][0]["difference"] is None,
          f"a part is held against something: {status['table']}")
    status = dfal.json("status", "m")
    check("part" not in status and status["done"] == 64 and status["table"][0]["difference"] is not None, f"merged: {status}")
    dfal.run("-q", "report", "m", "-o", "page.html")
    dfal.refuses(65, "report", "p1", "-o", "p.html", says="p1 is part 1 of 2")
    dfal.refuses(73, "run", "c.yaml", "-o", "m", says="finished")
    dfal.refuses(73, "merge", "p1", "p2", "-o", "m", says="--force")
    dfal.run("-q", "merge", "p1", "p2", "-o", "m", "--force")
    same_runs(dfal.at("whole"), dfal.at("m"))
    dfal.refuses(64, "merge", "p1", "p2", "-o", "p2", "--force", says="p2")
    dfal.refuses(64, "run", "c.yaml", "--trial", "1/3", "-o", "x", says=("3 parts", "2 trials"))
    dfal.refuses(64, "run", "c.yaml", "--trial", "3/2", "-o", "x", says="K/N")
    dfal.refuses(65, "merge", "p1", "-o", "x", says="p1 is part 1 of 2, the others are missing")
    dfal.refuses(65, "merge", "p1", "p2", "c.yaml", "-o", "x", says=("c.yaml", "run directories alone"))
    for order in (("p1", "p9"), ("p9", "p1"), ("p9", "c.yaml"), ("c.yaml", "p9")):
        dfal.refuses(66, "merge", *order, "-o", "x", says="p9: no such file or folder")
    os.remove(dfal.at("p2/state/finished"))
    dfal.refuses(78, "run", "c.yaml", "--trial", "1/2", "-o", "p2", says=("part 2/2", "1/2"))
    dfal.refuses(78, "run", "c.yaml", "-o", "p2", says=("part 2/2", "(none)"))
    dfal.run("-q", "run", "c.yaml", "--trial", "2/2", "-o", "p2", "--resume")
    check(not os.path.exists(dfal.at("x")) and not os.path.exists(dfal.at("x.merging")), "a refused merge left something")


def of_other_kinds(dfal):
    """What is no shard of the others is named for what it is."""
    make_pool(dfal.at("bare.h5"), 40, 1)
    shutil.copy(dfal.at("bare.h5"), dfal.at("named.h5"))
    for name, ids in (("bare.h5", None), ("named.h5", np.array([f"img{i}" for i in range(40)], "S"))):
        with h5py.File(dfal.at(name), "r+") as file:
            if "ids" in file:
                del file["ids"]
            if ids is not None:
                file["ids"] = ids
    dfal.run("-q", "train", "--net", "lenet5", "bare.h5", "-o", "net.h5", "--epochs", "0")
    for pool in ("bare", "named"):
        for k in (1, 2):
            dfal.run("-q", "score", "net.h5", f"{pool}.h5", "--max-iter", "1", "--shard", f"{k}/2", "-o", f"{pool}{k}.h5")
    dfal.run("-q", "score", "net.h5", "bare.h5", "--max-iter", "1", "--range", "20:40", "-o", "range.h5")
    dfal.refuses(65, "merge", "bare1.h5", "named2.h5", "-o", "m.h5",
                 says="named2.h5 has ids of its pool, bare1.h5 is of a pool without ids: expected parts of one pool")
    dfal.refuses(65, "merge", "named1.h5", "bare2.h5", "-o", "m.h5", says="named1.h5 has ids of its pool, bare2.h5")
    dfal.refuses(65, "merge", "bare1.h5", "range.h5", "-o", "m.h5", says="range.h5 is no shard, but bare1.h5 is shard 1 of 2")
    dfal.refuses(65, "merge", "bare1.h5", "bare.h5", "-o", "m.h5", says="bare.h5 has no attribute 'complete'")
    for pool in ("bare", "named"):
        dfal.run("-q", "merge", f"{pool}2.h5", f"{pool}1.h5", "-o", f"{pool}.merged.h5")
    # Other options than the file was made with: the first that differs.
    dfal.refuses(78, "select", "net.h5", "bare.h5", "--strategy", "dfal", "--count", "2", "--scores", "bare.merged.h5", "--overshoot", "0.03",
                 "--max-iter", "1", "-o", "q.csv", says="bare.merged.h5 was made with overshoot 0.02, expected 0.03")


def estimate(dfal):
    make_pool(dfal.at("train.h5"), 60, 1)
    make_pool(dfal.at("test.h5"), 20, 2)
    with open(dfal.at("c.yaml"), "w", encoding="utf-8") as file:
        file.write(CONFIG)
    part = dfal.json("run", "c.yaml", "--estimate", "--threads", "1", "--trial", "1/2")
    check((part["branches"], part["beside"]) == (2, 1), f"a part of one trial: {part}")
    for row in part["strategies"]:
        check((row["trials"], row["rounds"], row["labelled"], row["missing"]) == (1, 2, 16, ""), f"estimated {row}")
        together = row["train_seconds"] + row["select_seconds"] + row["test_seconds"]
        check(abs(row["seconds"] - together) < 1e-9, f"{row} is not {together}")
    check(abs(part["seconds"] - sum(row["seconds"] for row in part["strategies"])) < 1e-9, f"does not add up: {part}")
    out, _ = dfal.run("-q", "run", "c.yaml", "--estimate", "--threads", "2", "--set", "strategies=[entropy]")
    check("for 2 trials of strategies, 2 at once" in out and "device-hours" in out and "entropy" in out, out)
    dfal.refuses(64, "run", "c.yaml", says="-o DIR")
    dfal.refuses(64, "run", "c.yaml", "--estimate", "--trainer", "true", says="'true'")
    check(sorted(os.listdir(dfal.folder)) == ["c.yaml", "test.h5", "train.h5"], "an estimate has written something")


def killed(dfal):
    """Around the moment when the merged directory gets its name, and while it is put together."""
    prepare(dfal)
    words = ("-q", "merge", "p1", "p2", "-o")
    dfal.run(*words, "whole")
    for moment in ("before:/state/random-1.h5", "before:/report.html", "before:m", "after:m"):
        process = dfal.start(*words, "m", environment={"LD_PRELOAD": os.environ["DFAL_TEST_PRELOAD"],
                                                       "DFAL_TEST_KILL": moment})
        _, err = process.communicate()
        check(process.returncode == -signal.SIGKILL, f"{moment}: {process.returncode} {err.decode()}")
        if moment.startswith("before"):
            check(not os.path.exists(dfal.at("m")) and os.path.exists(dfal.at("m.merging")), f"{moment}: another end")
            dfal.run(*words, "m")
        dfal.refuses(73, "merge", "p1", "p2", "-o", "m", says="m")
        same_runs(dfal.at("whole"), dfal.at("m"))
        check(dfal.json("status", "m")["state"] == "finished", f"{moment}: unfinished")
        check(not os.path.exists(dfal.at("m.merging")), f"{moment}: m.merging stays")
        shutil.rmtree(dfal.at("m"))


main({f.__name__: f for f in (merged, of_other_kinds, estimate, killed)})
