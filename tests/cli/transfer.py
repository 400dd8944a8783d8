#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""dfal run with `transfer`: what one network has chosen, another learns."""
import os
import time

from data import make_pool
from support import check, kill_at, main, rows_of, same_file, same_runs


def prepare(dfal, more="", strategies="[dfal, ceal, random]", trials=2):
    make_pool(dfal.at("train.h5"), 80, 1)
    make_pool(dfal.at("test.h5"), 40, 2)
    with open(dfal.at("run.yaml"), "w", encoding="utf-8") as file:
        file.write(f"data: {{train: train.h5, test: test.h5}}\nstrategies: {strategies}\noptions: {{ceal: {{threshold: 2.3, subsample: 20}}}}\n"
                   f"initial: 8\nquery: 4\nannotations: 18\ntrials: {trials}\ntraining: {{restarts: 2, epochs: 3}}\n{more}")
    return ["run", "run.yaml", "--threads", "1"]


def same_network(dfal):
    """Another network that is the same one learns the same: the rows, twins, pseudo-labels and seeds are those of the round."""
    dfal.run("-q", *prepare(dfal), "-o", "without")
    check(not os.path.exists(dfal.at("without/transfer.csv")), "a run without transfer has its table")
    dfal.run("-q", *prepare(dfal, "transfer: lenet5\ntransfer_every: 8\n"), "-o", "d")
    same_runs(dfal.at("without"), dfal.at("d"))
    keys = ("strategy", "trial", "round", "annotations", "labelled", "accuracy")
    rows, curve = rows_of(dfal.at("d/transfer.csv")), rows_of(dfal.at("d/curve.csv"))
    check(tuple(rows[0]) == keys, f"{rows[0]}")
    check(rows == [{key: row[key] for key in keys} for row in curve if row["annotations"] in ("8", "16", "18")], f"{rows} {curve}")
    check(len(rows) == 3 * 3 * 2 and any(int(row["labelled"]) > int(row["annotations"]) for row in rows if row["strategy"] == "ceal"), f"{rows}")
    dfal.run("-q", *prepare(dfal, "transfer: lenet5\n"), "-o", "last")
    check(rows_of(dfal.at("last/transfer.csv")) == [row for row in rows if row["annotations"] == "18"], "not the last round alone")


def table4(dfal):
    """The preset at a reduced size: another network, which the log names and the report leaves in peace."""
    prepare(dfal)
    dfal.run("-q", "run", "--preset", "table4", "--train", "train.h5", "--test", "test.h5", "-o", "d", "--threads", "1",
             *(word for key in ("trials=1", "initial=8", "query=4", "annotations=12", "training.restarts=1", "training.epochs=1", "options.dfal.subsample=20")
               for word in ("--set", key)))
    rows = rows_of(dfal.at("d/transfer.csv"))
    check([row["strategy"] for row in rows] == ["dfal", "coreset", "random"], f"{rows}")
    check([int(row["labelled"]) for row in rows] == [16, 12, 12] and all(row["annotations"] == "12" for row in rows), f"{rows}")
    with open(dfal.at("d/log.jsonl"), encoding="utf-8") as file:
        text = file.read()
    check(text.count('"run.transfer"') == 3 and '"network": "vgg8"' in text, text)
    dfal.run("-q", "report", "d", "-o", "r.html")
    dfal.run("-q", "status", "d")


def resumed(dfal):
    """Killed again and again: the same rows. Of another network, or begun without one, it is refused."""
    line = prepare(dfal, "transfer: lenet5\ntransfer_every: 4\n", trials=1)
    begin = time.monotonic()
    dfal.run("-q", *line, "-o", "whole")
    seconds, kills = time.monotonic() - begin, 0
    while True:
        code, err = kill_at(dfal, ["-q", *line, "-o", "d"], seconds * (0.2 + 0.04 * kills))
        if code == 0:
            break
        check(code == -9, f"run: {code} {err}")
        kills += 1
        check(kills < 60, "run does not get on")
        if os.path.exists(dfal.at("d/config.yaml")):
            dfal.refuses(78, *line, "-o", "d", "--set", "transfer=vgg8", says="d was made with transfer lenet5, expected vgg8")
            dfal.refuses(78, *line, "-o", "d", "--set", "transfer_every=8", says="d was made with transfer_every 4, expected 8")
    check(kills > 0, "the run was never killed")
    same_runs(dfal.at("whole"), dfal.at("d"))
    same_file(dfal.at("whole/transfer.csv"), dfal.at("d/transfer.csv"))
    dfal.run("-q", *prepare(dfal, trials=1), "-o", "d", "--force")
    check(not os.path.exists(dfal.at("d/transfer.csv")), "--force leaves another run's table")


def refusals(dfal):
    line = prepare(dfal)
    dfal.refuses(64, *line, "-o", "x", "--set", "transfer=lenet", says=("transfer: unknown network 'lenet'", "lenet5"))
    dfal.refuses(66, *line, "-o", "x", "--set", "transfer=./none.h5", says="none.h5")
    dfal.refuses(78, *line, "-o", "x", "--set", "transfer=vgg8", "--trainer", "true", says=("transfer is vgg8 and trainer is 'true'", "one of them"))
    dfal.refuses(64, *line, "-o", "x", "--set", "transfer=vgg8", "--set", "transfer_every=-1", says="transfer_every is -1")
    check(not os.path.exists(dfal.at("x")), "a refused line leaves a folder")


main({f.__name__: f for f in (same_network, table4, resumed, refusals)})
