#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Presets of dfal run, printed and at a reduced size."""
import re

from data import make_pool
from support import check, main, rows_of

SMALL = [word for key in ("trials=2", "initial=8", "query=4", "annotations=16", "subsample=20", "training.restarts=1", "training.validation=0")
         for word in ("--set", key)] + ["--threads", "1"]


def names(dfal):
    out, _ = dfal.run("run", "--help")
    found = re.findall(r"^  ([a-z][a-z0-9-]*) ", out.split("Presets:\n")[1].split("\n\n")[0], re.MULTILINE)
    check(len(found) > 10 and {"quickstart", "table2", "study", "study-steps", "qbdc-mnist", "modern-mnist"} <= set(found), f"{found}")
    return found


def printed(dfal):
    """What a preset prints is a file that says the same."""
    for name in names(dfal):
        yaml, _ = dfal.run("-q", "run", "--preset", name, "--print-config")
        with open(dfal.at("run.yaml"), "w", encoding="utf-8") as file:
            file.write(yaml)
        again, _ = dfal.run("-q", "run", "run.yaml", "--print-config")
        check(yaml == again, f"{name} is another configuration when it is read back")


def study(dfal):
    """The study's twelve variants: pairs that choose alike in the first round, with twins and without."""
    make_pool(dfal.at("train.h5"), 80, 1)
    make_pool(dfal.at("test.h5"), 20, 2)
    for preset, training in ("study", "training.epochs=2"), ("study-steps", "training.steps=4"):
        dfal.run("-q", "run", "--preset", preset, "--train", "train.h5", "--test", "test.h5", "-o", preset, *SMALL, "--set", training)
        curve = rows_of(dfal.at(f"{preset}/curve.csv"))
        last = {row["strategy"]: row for row in curve}
        check(len(last) == 12, f"{sorted(last)}")
        for name, row in last.items():
            check(int(row["labelled"]) == (24 if name.endswith("+twins") else 16), f"{preset}: {row}")
            check(preset == "study" or row["steps"] == "4", f"{preset}: {row}")
        first = {name: [row["id"] for row in rows_of(dfal.at(f"{preset}/queries.csv"))
                        if (row["strategy"], row["trial"], row["round"]) == (name, "1", "1")] for name in last}
        for name in last:
            check(len(first[name]) == 4 and first[name] == first[name.split("+")[0]], f"{preset}: {name} does not choose as without twins: {first}")
        dfal.run("-q", "report", preset, "-o", "r.html", "--force")
        with open(dfal.at("r.html"), encoding="utf-8") as file:
            page = file.read()
        check(all(f"</span>{name}</th>" in page for name in last), f"{preset}: the report lacks a variant")


main({f.__name__: f for f in (printed, study)})
