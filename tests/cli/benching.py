#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""dfal bench: the speed of score and of train, and strategies side by side on the same rows."""
import glob
import itertools
import os
import shutil

import numpy as np

from data import make_pool, write_linear, write_nodes
from support import check, main, write_pool

DEEPFOOL = ["case", "repeat", "samples", "seconds", "cpu_seconds", "samples_per_second", "sample_iterations_per_second", "mean_iterations",
            "dense_operations_per_second", "peak_operations_per_second", "peak_share", "threads", "peak_memory_bytes",
            "compute_floor_samples_per_second", "memory_floor_samples_per_second", "engine", "isa", "backend"]
TRAIN = ["case", "repeat", "samples", "steps", "seconds", "cpu_seconds", "samples_per_second", "steps_per_second",
         "dense_operations_per_second", "peak_operations_per_second", "peak_share", "batch", "restarts", "threads", "peak_memory_bytes",
         "engine", "isa", "backend"]
DOCUMENT = ["case", "network", "pool", "drawn", "queries", "labelled", "candidates", "outliers", "repeat", "limit_seconds",
            "deepfool", "backend", "isa", "device", "threads", "seed", "version", "rows", "ratios", "growth"]
ROW = ["case", "strategy", "options", "labelled", "candidates", "queries", "passes", "seconds", "fastest", "slowest",
       "cpu_seconds", "radius", "cut", "facts", "paper_seconds", "refused"]
GROWTH = ["case", "more", "from", "to", "times", "becomes", "dfal_is_faster", "changes_between"]
CORESET = ["coreset-greedy", "coreset-swap", "coreset", "coreset-robust", "sener", "sener-robust"]
PAPER = {"dfal": 126.54, "sener": 784.99, "sener-robust": 891.78}


def world(dfal, rows, dropout=0.5):
    """A linear network: the features of a row are the row itself."""
    random = np.random.default_rng(5)
    x = random.normal(size=(rows, 6)).astype(np.float32)
    write_pool(dfal.at("pool.h5"), x[:, :, None, None], random.integers(0, 4, rows), class_count=4)
    write_linear(dfal.at("net.h5"), random.normal(size=(4, 6)), random.normal(size=4), [6, 1, 1], dropout)
    return np.sqrt(((x[:, None].astype(np.float64) - x[None]) ** 2).sum(-1))


def smallest(far, labelled, count, outliers):
    """By looking at every set of the rows that are not labelled."""
    others = [row for row in range(len(far)) if row not in labelled]
    return min(np.sort(far[np.ix_(others, [*labelled, *chosen])].min(1))[::-1][outliers]
               for chosen in itertools.combinations(others, count))


def check_row(row, labelled, candidates, queries):
    check(list(row) == ROW and row["refused"] is None and not row["cut"], f"{row}")
    check((row["labelled"], row["candidates"], row["queries"]) == (labelled, candidates, queries), f"{row}")
    check(0 < row["fastest"] <= row["seconds"] <= row["slowest"] and row["cpu_seconds"] > 0, f"{row}")
    check(row["paper_seconds"] == PAPER.get(row["case"]), f"{row}")


def two_products(dfal):
    """[6] -> [5] -> [4] without anything between: 30 + 20 multiply-adds as they are trained, 24 as they are scored, folded."""
    random = np.random.default_rng(5)
    x = random.normal(size=(20, 6)).astype(np.float32)
    write_pool(dfal.at("pool.h5"), x[:, :, None, None], np.arange(20) % 4, class_count=4)
    nodes = [{"name": name, "op": op, "inputs": [of], "attributes": {}} for name, op, of in
             (("flat", "Flatten", "input"), ("first", "Gemm", "flat"), ("second", "Gemm", "first"))]
    write_nodes(dfal.at("net.h5"), nodes, {"first/weight": random.normal(size=(5, 6)), "first/bias": np.zeros(5),
                                           "second/weight": random.normal(size=(4, 5)), "second/bias": np.zeros(4)}, [6, 1, 1], 4)


def check_rates(row, operations):
    """Every rate is one of what was done, and the operations are those reckoned by hand."""
    def close(key, value):
        check(abs(row[key] - value) <= 1e-9 * value, f"{key} is {row[key]}, expected {value}: {row}")

    check(row["seconds"] > 0 and row["cpu_seconds"] > 0 and row["peak_memory_bytes"] > 1 << 20, f"{row}")
    close("samples_per_second", row["samples"] / row["seconds"])
    close("dense_operations_per_second", operations / row["seconds"])
    if row["backend"] == "cpu":
        close("peak_share", operations / row["cpu_seconds"] * row["threads"] / row["peak_operations_per_second"])
    else:
        check(row["peak_share"] is None and row["peak_operations_per_second"] is None, f"{row}")


def deepfool(dfal):
    """A linear network's samples cross in one step: four classes are four products, and a last forward is one."""
    two_products(dfal)
    words = ("bench", "deepfool", "net.h5", "pool.h5", "--samples", "10", "--repeat", "2")
    for backend in "cpu", "ref":
        document = dfal.json(*words, "--backend", backend, "--threads", "2")
        check([row["repeat"] for row in document] == [1, 2], f"{document}")
        for row in document:
            check(list(row) == DEEPFOOL and row["case"] == "deepfool" and row["backend"] == backend, f"{row}")
            check((row["samples"], row["mean_iterations"], row["threads"], row["engine"]) == (10, 1, 2, "layers"), f"{row}")
            check(row["sample_iterations_per_second"] == row["samples_per_second"], f"{row}")
            check_rates(row, 10 * 2 * 24 * (4 + 1))
            if backend == "cpu":
                floor = row["peak_operations_per_second"] / (2 * 24 * (4 + 1))
                check(abs(row["compute_floor_samples_per_second"] - floor) <= 1e-9 * floor, f"{row}")
    row = dfal.json(*words, "--classes", "2")[0]
    check_rates(row, 10 * 2 * 24 * (2 + 1))
    out, _ = dfal.run("-q", *words, "--threads", "2")
    lines = out.splitlines()
    check(len(lines) == 2 and lines[0].startswith("deepfool 1  10 samples  ") and "  mean 1.000 it  dense " in lines[0], out)
    check(" % of the peak of " in lines[0] and "  threads 2  " in lines[0] and lines[1].endswith(" layers avx2") ^ ("avx512" in out), out)
    out, _ = dfal.run("-q", *words, "--backend", "ref")
    check("  dense " in out and "of the peak" not in out, out)


def train(dfal):
    """An epoch of each restart is a repetition, the first is none; operations are three forwards as trained; no file is left."""
    two_products(dfal)
    before, made = set(os.listdir(dfal.folder)), set(glob.glob("/tmp/dfal-bench-*"))
    words = ("bench", "train", "net.h5", "pool.h5", "--subset", "10", "--batch", "4", "--restarts", "2", "--repeat", "3")
    for backend in "cpu", "ref":
        document = dfal.json(*words, "--backend", backend, "--threads", "2")
        check([row["repeat"] for row in document] == [1, 2, 3], f"{document}")
        for row in document:
            check(list(row) == TRAIN and row["case"] == "train" and row["backend"] == backend, f"{row}")
            check(row["engine"] == ("fused" if backend == "cpu" else "layers"), f"{row}")
            check([row[key] for key in ("samples", "steps", "batch", "restarts", "threads")] == [20, 6, 4, 2, 2], f"{row}")
            check(abs(row["steps_per_second"] - 6 / row["seconds"]) <= 1e-9 * row["steps_per_second"], f"{row}")
            check_rates(row, 20 * 2 * 3 * 50)
    row = dfal.json("bench", "train", "net.h5", "pool.h5", "--repeat", "1")[0]
    check([row[key] for key in ("samples", "steps", "batch", "restarts")] == [20, 1, 32, 1], f"{row}")
    check_rates(row, 20 * 2 * 3 * 50)
    out, _ = dfal.run("-q", *words)
    check(len(out.splitlines()) == 3 and out.startswith("train 1  20 samples  6 steps  ") and " % of the peak of " in out, out)
    # A small chain of convolutions is trained as a whole; a built-in network is none of the folder's files.
    make_pool(dfal.at("digits.h5"), 40, 1)
    row = dfal.json("bench", "train", "lenet5", "digits.h5", "--repeat", "1", "--optimizer", "sgd", "--lr", "0.01")[0]
    check((row["engine"], row["samples"], row["steps"]) == ("fused", 40, 2), f"{row}")
    # 6 of 5x5 on 24x24, 16 of 6x5x5 on 8x8, 120 of 16 on 4x4; then products to 84, 10 and 10
    check_rates(row, 40 * 2 * 3 * (6 * 25 * 576 + 16 * 150 * 64 + 120 * 16 * 16 + 1920 * 84 + 840 + 100))
    check(set(os.listdir(dfal.folder)) == before | {"digits.h5"}, f"files are left: {os.listdir(dfal.folder)}")
    check(set(glob.glob("/tmp/dfal-bench-*")) <= made, "a temporary folder is left")


def coreset(dfal):
    """Covering form and program (6) reach the smallest radius there is, with outliers and without."""
    far = world(dfal, 16)
    document = dfal.json("bench", "coreset", "net.h5", "pool.h5", "--queries", "2", "--labelled", "2", "--candidates", "14",
                         "--repeat", "2", "--outliers", "1")
    check(list(document) == DOCUMENT and document["case"] == "coreset" and not document["drawn"], f"{list(document)}")
    check([row["case"] for row in document["rows"]] == CORESET, f"{[row['case'] for row in document['rows']]}")
    radii = {}
    for row in document["rows"]:
        check_row(row, 2, 14, 2)
        check(row["passes"] == 2, f"{row}")
        facts, outliers = row["facts"], int("robust" in row["case"])
        check((facts is None) == (row["case"] == "coreset-greedy"), f"{row}")
        if facts is None or facts["solver"] == "none":
            continue
        check(facts["labelled"] == 2 and facts["outliers"] == outliers and facts["proven"] == "yes", f"{row}")
        check(abs(facts["radius"] - row["radius"]) < 1e-9, f"the event says another radius: {row}")
        check(facts["program"] == ("sener" if "sener" in row["case"] else "covering"), f"{row}")
        check(abs(radii.setdefault(outliers, row["radius"]) - row["radius"]) < 1e-9, f"the programs disagree: {row}")
    greedy, swap = (document["rows"][i]["radius"] for i in (0, 1))
    check(greedy >= swap, f"greedy {greedy}, with swaps {swap}")
    # Which two rows are labelled nobody tells: there are two of which all that was found holds.
    if radii:
        held = [pair for pair in itertools.combinations(range(16), 2)
                if all(abs(smallest(far, pair, 2, outliers) - radius) < 1e-9 for outliers, radius in radii.items())]
        check(0 < len(held) < 12, f"of 120 pairs the radii {radii} are the smallest beside the labelled rows {held}")
    check(document["ratios"] == [] and document["growth"] == [], f"{document['ratios']} {document['growth']}")


def table3(dfal):
    """Every strategy of the build has its row; what this network cannot serve says so, and the others stand."""
    world(dfal, 24)
    words = ("bench", "table3", "net.h5", "pool.h5", "--queries", "3", "--labelled", "4", "--candidates", "20", "--repeat", "2")
    strategies = [line.split()[0] for line in dfal.run("select", "--help")[0].split("Strategies:\n")[1].split("\n\n")[0].splitlines()]
    document = dfal.json(*words)
    check(list(document) == DOCUMENT and document["case"] == "table3" and document["deepfool"] == "dfal2018", f"{document}")
    names = [row["case"] for row in document["rows"]]
    check(names[:7] == ["dfal", *CORESET] and set(strategies) - {"command"} <= set(names) and len(names) == len(set(names)), f"{names}")
    check(len(strategies) > 10 and not any(row["refused"] for row in document["rows"]), f"{document['rows']}")
    for row in document["rows"]:
        check_row(row, 4, 20, 3)
    check(document["rows"][0]["radius"] > document["rows"][3]["radius"], "DFAL's queries cover as well as CORE-SET's")
    dfal_seconds = document["rows"][0]["seconds"]
    for ratio, name in zip(document["ratios"], ("sener", "sener-robust"), strict=True):
        row = document["rows"][names.index(name)]
        check(ratio["case"] == name and abs(ratio["times_dfal"] - row["seconds"] / dfal_seconds) < 1e-9, f"{ratio} {row}")
        check(abs(ratio["paper_times_dfal"] - PAPER[name] / PAPER["dfal"]) < 1e-9, f"{ratio}")
    # The radius is of the rows that select chooses, whoever chooses: it does not depend on the number of passes.
    again = dfal.json(*words[:-1], "1", "--deepfool", "lts4")
    check(again["deepfool"] == "lts4" and all(row["passes"] == 1 for row in again["rows"]), f"{again}")
    for name in set(CORESET) | {"random", "entropy", "margin"}:
        a, b = (next(row["radius"] for row in rows["rows"] if row["case"] == name) for rows in (document, again))
        check(a == b, f"{name}: radius {a} and {b}")
    world(dfal, 24, dropout=None)
    document = dfal.json(*words)
    refused = {row["case"]: row["refused"] for row in document["rows"] if row["refused"]}
    check(set(refused) == {"bald", "batchbald", "qbdc"} and "dropout" in refused["bald"], f"{refused}")
    out, _ = dfal.run("-q", *words)
    lines = out.splitlines()
    check(any(line.startswith("bald ") and "not measured: strategy bald" in line for line in lines), out)
    check(any(line.startswith("dfal ") and " 126.54" in line for line in lines), out)
    check(any(line.startswith("sener takes ") and "paper: 6.2" in line for line in lines), out)
    check(len([line for line in lines if line.split()[0] in names]) >= len(names), out)


def solver(dfal):
    """Another solver's lines beside those of the built-in one: the same smallest radii, and its own name."""
    if not shutil.which("cbc"):
        print("skipped: no cbc is installed")
        return
    world(dfal, 16)
    words = ("bench", "coreset", "net.h5", "pool.h5", "--queries", "2", "--labelled", "2", "--candidates", "14", "--repeat", "1",
             "--outliers", "1")
    command = "cbc {model} -threads 0 -seconds {seconds} -solve -solution {solution}"
    document = dfal.json(*words, "--solver", command)
    rows = {row["case"]: row for row in document["rows"]}
    check(list(rows) == [name for case in CORESET for name in (case, case + "-own") if case not in CORESET[:2] or name == case],
          f"{list(rows)}")
    for case in CORESET[2:]:
        own, row = rows[case + "-own"], rows[case]
        check_row({**own, "case": case}, 2, 14, 2)
        check(own["options"] == [*row["options"], f"solver={command}"], f"{own}")
        asked = "sener" in case or own["facts"]["models"] > 0
        check(own["facts"]["solver"].startswith("cbc (Version: " if asked else "not asked"), f"{own}")
        check(own["facts"]["proven"] == "yes", f"{own}")
        if row["facts"]["solver"] != "none":
            check(row["facts"]["solver"].startswith("CBC " if asked else "not asked"), f"{row}")
            check(abs(own["radius"] - row["radius"]) < 1e-9, f"{own} {row}")
    out, _ = dfal.run("-q", *words, "--solver", command)
    check(any(line.startswith("sener-robust-own ") and " 891.78  cbc (" in line for line in out.splitlines()), out)
    dfal.refuses(69, *words, "--solver", "no-such-solver", says=("no-such-solver", "cannot be started"))
    dfal.refuses(64, *words, "--solver", "x" * 2000, says=("--solver has 2000 bytes", "1048"))
    dfal.refuses(64, "bench", "deepfool", "net.h5", "pool.h5", "--solver", command, says=("--solver", "coreset, table3"))


def growth(dfal):
    """More labelled rows, more candidates; program (6) takes a thousand rows at most and says so."""
    world(dfal, 1100)
    words = ("net.h5", "pool.h5", "--queries", "2", "--labelled", "10", "--candidates", "14", "--repeat", "1", "--growth", "--limit", "5")
    document = dfal.json("bench", "table3", *words)
    sizes = {(row["labelled"], row["candidates"]) for row in document["rows"]}
    check(sizes == {(10, 14), (1, 14), (30, 14), (100, 14), (10, 140), (10, 1050)}, f"{sizes}")
    refused = {(row["case"], row["labelled"], row["candidates"]) for row in document["rows"] if row["refused"]}
    solver = next(row["facts"]["solver"] for row in document["rows"] if row["case"] == "sener")
    check(refused == (set() if solver == "none" else {("sener", 10, 1050), ("sener-robust", 10, 1050)}), f"{refused}")
    cut = {(row["case"], row["labelled"], row["candidates"]) for row in document["rows"] if row["cut"]}
    check(all("sener" in case for case, _, _ in cut), f"{cut}")
    said = {(line["case"], line["more"]): line for line in document["growth"]}
    check(set(said) == {(name, more) for name in ("dfal", *CORESET) for more in ("labelled", "candidates")}, f"{set(said)}")
    seconds = {(row["case"], row["labelled"], row["candidates"]): row["seconds"] for row in document["rows"]}
    for (name, more), line in said.items():
        check(list(line) == GROWTH, f"{line}")
        small, large = ((1, 14), (100, 14)) if more == "labelled" else ((10, 14), (10, 140 if (name, 10, 1050) in refused else 1050))
        check((line["from"], line["to"]) == (small[more != "labelled"], large[more != "labelled"]), f"{line}")
        check(abs(line["times"] - seconds[name, *large] / seconds[name, *small]) < 1e-9, f"{line}")
        ends = {(name, *small), (name, *large)} & cut
        check(line["becomes"] == ("unknown" if ends else "slower" if line["times"] > 1 else "faster"), f"{line}")  # of one pass each
        if any(case == name for case, _, _ in cut):
            continue
        first = seconds["dfal", *small] < seconds[name, *small]
        check(name == "dfal" or line["dfal_is_faster"] == first, f"{line}")
        middle = [(10, 14), (30, 14)] if more == "labelled" else [(10, 140)] * ((name, 10, 1050) not in refused)
        changes = [size for size in (*middle, large) if (seconds["dfal", *size] < seconds[name, *size]) != first]
        where = line["changes_between"]
        check((where is None) == (name == "dfal" or not changes), f"{line}, expected a change at {changes}")
        check(where is None or where[1] == changes[0][more != "labelled"], f"{line}, expected a change at {changes}")
    check(all(row["paper_seconds"] == (PAPER.get(row["case"]) if (row["labelled"], row["candidates"]) == (10, 14) else None)
              for row in document["rows"]), "the paper's seconds stand beside another size")
    out, _ = dfal.run("-q", "bench", "coreset", *words[:-1], "1")
    check("with 1 labelled" in out and "with 1050" in out, out)
    check(solver == "none" or "not measured: program sener" in out, out)


def drawn(dfal):
    """Without arguments: digits, a network that has seen the labelled ones, and nothing is left behind."""
    before = set(glob.glob("/tmp/dfal-bench-*"))
    words = ("bench", "table3", "--queries", "2", "--labelled", "12", "--candidates", "30", "--repeat", "1")
    document = dfal.json(*words)
    check(document["drawn"] and document["network"] is None and document["pool"] is None, f"{document}")
    check(all(row["refused"] is None and row["candidates"] == 30 for row in document["rows"]), f"{document}")
    check(set(glob.glob("/tmp/dfal-bench-*")) <= before, "a temporary folder is left")


def limits(dfal):
    """A case whose passes have used up the limit ends, and so does a search; its seconds are a least."""
    random = np.random.default_rng(7)
    x = random.normal(size=(460, 20)).astype(np.float32)
    write_pool(dfal.at("pool.h5"), x[:, :, None, None], random.integers(0, 4, 460), class_count=4)
    write_linear(dfal.at("net.h5"), random.normal(size=(4, 20)), random.normal(size=4), [20, 1, 1])
    document = dfal.json("bench", "coreset", "net.h5", "pool.h5", "--queries", "10", "--labelled", "60", "--candidates", "400",
                         "--repeat", "50", "--limit", "1")
    row = next(row for row in document["rows"] if row["case"] == "sener")
    if row["facts"]["solver"] == "none":
        return
    check(row["cut"] and row["facts"]["reason"] == "seconds" and row["facts"]["proven"] == "no", f"{row}")
    check(row["passes"] == 1 and 0.9 < row["seconds"] < 60, f"{row}")


def refusals(dfal):
    world(dfal, 60)
    net = ("net.h5", "pool.h5")
    dfal.refuses(64, "bench", "coreset", says="NET POOL")
    dfal.refuses(64, "bench", "coreset", "net.h5", says="NET POOL")
    dfal.refuses(64, "bench", "table3", "net.h5", says=("NET TRAIN-POOL", "neither"))
    dfal.refuses(64, "bench", "table3", *net, "more", says="'more'")
    dfal.refuses(64, "bench", "tabel3", says="table3")
    dfal.refuses(64, "bench", "train", "net.h5", says="bench train needs NET POOL")
    dfal.refuses(64, "bench", "train", *net, "--samples", "3", says=("--samples", "deepfool, ops", "bench train"))
    dfal.refuses(64, "bench", "train", *net, "--max-iter", "3", says=("--max-iter", "deepfool, coreset, table3", "bench train"))
    dfal.refuses(64, "bench", "ops", "net.h5", "--engine", "layers", says=("--engine", "deepfool, coreset, table3", "bench ops"))
    dfal.refuses(64, "bench", "deepfool", *net, "--subset", "3", says=("--subset", "belongs to bench train"))
    for option in "--batch", "--subset", "--restarts", "--repeat":
        dfal.refuses(64, "bench", "train", *net, option, "0", says=(option, "'0'"))
    dfal.refuses(64, "bench", "train", *net, "--lr", "0", says="learning rate")
    dfal.refuses(64, "bench", "train", "lenet", "pool.h5", says="lenet5")
    dfal.refuses(66, "bench", "train", "net.h5", "none.h5", says="none.h5")
    dfal.refuses(65, "bench", "train", *net, "--subset", "61", says=("a subset of 61", "only 60 rows"))
    dfal.refuses(64, "bench", "table3", *net, "--samples", "3", says=("--samples", "deepfool, ops", "bench table3"))
    dfal.refuses(64, "bench", "deepfool", *net, "--growth", says=("--growth", "coreset, table3"))
    for option in "--queries", "--candidates", "--limit", "--repeat":
        dfal.refuses(64, "bench", "table3", *net, option, "0", says=(option, "'0'"))
    dfal.refuses(64, "bench", "table3", *net, "--labelled=-1", says="--labelled")
    dfal.refuses(65, "bench", "table3", *net, "--labelled", "60", says=("pool.h5 has 60 rows", "60 labelled"))
    dfal.refuses(66, "bench", "table3", "none.h5", "pool.h5", says="none.h5")
    dfal.refuses(66, "bench", "coreset", "net.h5", "none.h5", says="none.h5")
    make_pool(dfal.at("digits.h5"), 20, 1)
    dfal.refuses(65, "bench", "coreset", "net.h5", "digits.h5", says="digits.h5")
    dfal.refuses(65, "bench", "train", "net.h5", "digits.h5", says="digits.h5")
    write_pool(dfal.at("bare.h5"), np.ones((60, 6, 1, 1), np.float32), class_count=4)
    dfal.refuses(65, "bench", "coreset", "net.h5", "bare.h5", "--labelled", "9", says=("bare.h5", "has no label"))
    dfal.refuses(65, "bench", "train", "net.h5", "bare.h5", says=("bare.h5", "no row has a label"))
    # fewer candidates than were asked for, and fewer than queries
    document = dfal.json("bench", "coreset", *net, "--labelled", "55", "--queries", "9", "--repeat", "1")
    check(all((row["candidates"], row["queries"], row["radius"]) == (5, 5, 0) for row in document["rows"]), f"{document}")


main({f.__name__: f for f in (deepfool, train, coreset, table3, solver, growth, drawn, limits, refusals)})
