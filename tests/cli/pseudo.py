#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""dfal run with strategies that label rows themselves: which rows, for how long, and what a trainer is told."""
import json
import os
import stat

import h5py
import numpy as np
from scipy.special import logsumexp, softmax

from data import make_pool
from support import check, main, rows_of

TRAINER = '''#!/bin/sh
while [ $# -gt 1 ]; do
    case $1 in --labels) labels=$2 ;; --out) out=$2 ;; --pool) pool=$2 ;; --round) round=$2 ;; esac
    shift 2
done
cp "$labels" "seen-$round.csv"
exec "$DFAL" -q --force train --net lenet5 "$pool" -o "$out" --epochs 12
'''


def line(*more):
    return ("run", "--preset", "quickstart", "--train", "train.h5", "--test", "test.h5", "--set", "trials=1", "--set",
            "initial=60", "--set", "annotations=75", "--set", "query=5", "--set", "training.epochs=12", "--set",
            "training.restarts=1", "--set", "keep=all", *more)


def events(dfal, folder):
    with open(dfal.at(f"{folder}/log.jsonl"), encoding="utf-8") as file:
        return [event for event in map(json.loads, file) if event["event"] == "run.pseudo"]


def certain_rows(dfal, network, threshold):
    """Rows of train.h5 whose entropy is below the threshold, each with the predicted class."""
    dfal.run("-q", "--force", "logits", network, "train.h5", "-o", "l.h5")
    with h5py.File(dfal.at("l.h5")) as file:
        f = file["logits"][()].astype(np.float64)
    entropy = logsumexp(f, 1) - (softmax(f, 1) * f).sum(1)
    check(abs(entropy - threshold).min() > 1e-9, "the test needs entropies apart from the threshold")
    return {int(row): int(f[row].argmax()) for row in np.flatnonzero(entropy < threshold)}


def experiments(dfal):
    """The pseudo-labelled rows of a round are those that the network before it is certain of; the next round has others."""
    make_pool(dfal.at("train.h5"), 300, 1)
    make_pool(dfal.at("test.h5"), 60, 2)
    with h5py.File(dfal.at("train.h5")) as file:
        truth = file["labels"][()]
    for name in ("ceal", "dfal+ceal"):
        dfal.run("-q", *line("--set", f"strategies=[{name}]", "--set", f"options.{name}.threshold=2.25", "--set",
                             f"options.{name}.decay=0.02", "-o", "d", "--force"))
        curve, told = rows_of(dfal.at("d/curve.csv")), events(dfal, "d")
        queried = {}
        for row in rows_of(dfal.at("d/queries.csv")):
            queried.setdefault(int(row["round"]), set()).add(int(row["index"]))
        with h5py.File(dfal.at(f"d/state/{name}-1.h5")) as file:
            rows, source = file["index"][()], file["source"][()]
        check(set(source) <= {0, 1}, f"{name}: a checkpoint has pseudo-labelled rows")
        asked = set(rows[source == 0].tolist()) - set().union(*queried.values())
        check(len(asked) == 60 and len(told) == 3, f"{name}: {len(asked)} initial rows, {len(told)} events")
        some = 0
        for event in told:
            round_ = event["round"]
            asked |= queried[round_]
            wanted = {row: label for row, label in
                      certain_rows(dfal, f"d/networks/{name}-1-r{round_ - 1}.h5", 2.25 - 0.02 * round_).items()
                      if row not in asked}
            wrong = sum(truth[row] != label for row, label in wanted.items())
            check((event["rows"], event["known"], event["wrong"]) == (len(wanted), len(wanted), wrong),
                  f"{name}: {event}, expected {len(wanted)} rows, {wrong} wrong")
            twins = sum(source[np.cumsum(source == 0) <= 60 + 5 * round_] == 1)
            labelled = int(curve[round_]["labelled"])
            check(labelled == 60 + 5 * round_ + len(wanted) + twins, f"{name}: {curve[round_]} with {len(wanted)} rows")
            some += len(wanted)
        check(some > 0, f"{name}: nothing was certain, the test shows nothing")


def trainer(dfal):
    """A trainer finds the pseudo-labelled rows behind the oracle's, and who says so."""
    make_pool(dfal.at("train.h5"), 300, 1)
    make_pool(dfal.at("test.h5"), 60, 2)
    with open(dfal.at("trainer.sh"), "w", encoding="utf-8") as file:
        file.write(TRAINER)
    os.chmod(dfal.at("trainer.sh"), stat.S_IRWXU)
    os.environ["DFAL"] = dfal.path
    dfal.run("-q", *line("--set", "strategies=[ceal]", "--set", "options.ceal.threshold=2.2", "-o", "t", "--trainer",
                         dfal.at("trainer.sh")))
    curve, told = rows_of(dfal.at("t/curve.csv")), events(dfal, "t")
    check(told and all(event["rows"] > 0 for event in told), f"nothing was certain: {told}")
    with open(dfal.at("seen-0.csv"), encoding="utf-8") as file:
        check(file.readline() == "id,label\n", "round 0 has a column that nobody needs")
    for event in told:
        seen = rows_of(dfal.at(f"seen-{event['round']}.csv"))
        by = [row["annotator"] for row in seen]
        count = 60 + 5 * event["round"]
        check(by == [""] * count + ["pseudo"] * event["rows"], f"round {event['round']}: {by}")
        check(int(curve[event["round"]]["labelled"]) == len(seen), f"{curve[event['round']]}")
        check(len({row["id"] for row in seen}) == len(seen), "a row is there twice")


main({f.__name__: f for f in (experiments, trainer)})
