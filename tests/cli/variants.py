#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Entries {name: X, strategy: S, options: {...}} of a run: variants of a strategy side by side."""
import os
import re
import sys
import time

from data import make_pool
from support import check, kill_at, main, rows_of, same_runs

# plain, one more of the same options, and one of others; margin with twins, which it has not of itself.
ENTRIES = ("[dfal, {name: again, strategy: dfal, options: {subsample: 20}}, {options: {twins: false}, strategy: dfal, name: dfal+none}, "
           "margin, {name: margin+twins, strategy: margin, options: {twins: true}}, random]")


def prepare(dfal, entries=ENTRIES, trials=2):
    make_pool(dfal.at("train.h5"), 80, 1)
    make_pool(dfal.at("test.h5"), 20, 2)
    with open(dfal.at("run.yaml"), "w", encoding="utf-8") as file:
        file.write(f"data: {{train: train.h5, test: test.h5}}\nstrategies: {entries}\noptions: {{dfal: {{subsample: 20}}}}\n"
                   f"initial: 8\nquery: 4\nannotations: 16\ntrials: {trials}\ntraining: {{restarts: 1, epochs: 2, validation: 0}}\n")
    return ["run", "run.yaml", "--threads", "1"]


def rows(dfal, folder, table, name):
    """What a strategy has in a table, but for its name and the times."""
    return [[value for key, value in row.items() if key != "strategy" and not key.endswith("_seconds")]
            for row in rows_of(dfal.at(f"{folder}/{table}.csv")) if row["strategy"] == name]


def equal(dfal):
    """Of equal options: equal rows, wherever the list has them. Of others: the same beginning of each trial, other rows."""
    line = prepare(dfal)
    dfal.run("-q", *line, "-o", "d")
    for table in "curve", "queries", "classes":
        ours = rows(dfal, "d", table, "dfal")
        check(ours and ours == rows(dfal, "d", table, "again"), f"{table}: two equal variants differ")
        for name in ("dfal+none", "margin", "margin+twins"):
            check(rows(dfal, "d", table, name) and rows(dfal, "d", table, name) != ours, f"{table}: {name} and dfal are the same")
    curve = rows_of(dfal.at("d/curve.csv"))
    labelled = {row["strategy"]: int(row["labelled"]) for row in curve}
    check(labelled == {"dfal": 24, "again": 24, "dfal+none": 16, "margin": 16, "margin+twins": 24, "random": 16}, f"{labelled}")
    for trial in "1", "2":
        begins = {(row["accuracy"], row["loss"]) for row in curve if row["trial"] == trial and row["round"] == "0"}
        check(len(begins) == 1, f"trial {trial} begins with other sets or weights: {begins}")
    # The first queries of dfal are chosen by the same network among the same candidates, twins or not.
    first = [[row["id"] for row in rows_of(dfal.at("d/queries.csv")) if (row["strategy"], row["trial"], row["round"]) == (name, "1", "1")]
             for name in ("dfal", "dfal+none")]
    check(first[0] == first[1] and len(first[0]) == 4, f"{first}")
    # Its place in the list changes nothing, nor does who stands beside it.
    prepare(dfal, "[random, {name: z, strategy: margin, options: {twins: true}}, {name: last, strategy: dfal}]")
    dfal.run("-q", *line, "-o", "e")
    for table in "curve", "queries", "classes":
        for ours, theirs in ("last", "dfal"), ("z", "margin+twins"), ("random", "random"):
            check(rows(dfal, "e", table, ours) == rows(dfal, "d", table, theirs), f"{table}: {ours} and {theirs} differ")


def resumed(dfal):
    """Killed at several moments: the same line goes on. With other options of an entry it is refused."""
    line = prepare(dfal, trials=1)
    begin = time.monotonic()
    dfal.run("-q", *line, "-o", "whole")
    seconds = time.monotonic() - begin
    kills, other = 0, [word.replace("run.yaml", "other.yaml") for word in line]
    with open(dfal.at("run.yaml"), encoding="utf-8") as file:
        text = file.read()
    with open(dfal.at("other.yaml"), "w", encoding="utf-8") as file:
        file.write(text.replace("{subsample: 20}}, {options", "{subsample: 50}}, {options"))
    while True:
        code, err = kill_at(dfal, ["-q", *line, "-o", "d"], seconds * (0.2 + 0.04 * kills))
        if code == 0:
            break
        check(code == -9, f"run: {code} {err}")
        kills += 1
        check(kills < 60, "run does not get on")
        if os.path.exists(dfal.at("d/config.yaml")):
            dfal.refuses(78, *other, "-o", "d", says="d was made with strategies[1].options {subsample: 20}, expected {subsample: 50}")
    check(kills > 0, "the run was never killed")
    same_runs(dfal.at("whole"), dfal.at("d"))


def told(dfal):
    """config.yaml, status and the report know the variants by their names."""
    line = prepare(dfal)
    dfal.run("-q", *line, "-o", "d")
    yaml, _ = dfal.run("-q", "run", "d/config.yaml", "--print-config")
    with open(dfal.at("d/config.yaml"), encoding="utf-8") as file:
        check(file.read() == yaml and "{name: margin+twins" not in yaml and '{name: "margin+twins", strategy: margin, options: {twins: true}}' in yaml, yaml)
    out, _ = dfal.run("-q", "status", "d")
    check("margin+twins" in out, out)
    document = dfal.json("report", "d", "-o", "r.html")
    check(document is not None, "report --json")
    with open(dfal.at("r.html"), encoding="utf-8") as file:
        page = file.read()
    for name in ("again", "dfal+none", "margin+twins"):
        check(f"</span>{name}</th>" in page, f"the page's tables do not name {name}")
        check(f"<b>{name}</b>" in page or re.search(rf"Not told from random.* {re.escape(name)} [+-]", page), f"no verdict names {name}")
    for name in os.listdir(dfal.at("d/networks")):
        check(name.rsplit("-", 1)[0] in ("dfal", "again", "dfal+none", "margin", "margin+twins", "random"), name)
    check(len(os.listdir(dfal.at("d/networks"))) == 12, f"{os.listdir(dfal.at('d/networks'))}")
    dfal.refuses(64, *line, "-o", "x", "--set", "strategies=[{name: x, strategy: bald, options: {pases: 3}}]",
                 says=("strategies[0].options", "nearest is 'passes'"))
    dfal.refuses(78, *line, "-o", "x", "--set", "strategies=[{name: x, strategy: coreset, options: {node: nowhere}}]", says=("strategy x", "nowhere"))


def commands(dfal):
    """A command has options of its own, too."""
    line = prepare(dfal, "[random]", 1)
    with open(dfal.at("last.py"), "w", encoding="utf-8") as file:
        file.write("import sys\nimport h5py\nwords = dict(zip(sys.argv[1::2], sys.argv[2::2]))\nids = h5py.File(words['--candidates'])['id'].asstr()[()]\n"
                   "print(len(ids), 'candidates')\nopen(words['--out'], 'w').write(''.join(i + '\\n' for i in ids[-int(words['--count']):]))\n")
    command = f"{sys.executable} last.py"
    dfal.run("-q", *line, "-o", "d", "--set", f"strategies=[{{name: few, command: '{command}', options: {{subsample: 15, twins: true}}}}, "
             f"{{name: most, command: '{command}'}}]")
    for name, says in ("few", "15 candidates"), ("most", "72 candidates"):
        with open(dfal.at(f"d/state/{name}-1.command/command-1.log"), encoding="utf-8") as file:
            check(says in file.read(), f"{name} saw other candidates")
    labelled = {row["strategy"]: int(row["labelled"]) for row in rows_of(dfal.at("d/curve.csv"))}
    check(labelled == {"few": 24, "most": 16}, f"{labelled}")


main({f.__name__: f for f in (equal, resumed, told, commands)})
