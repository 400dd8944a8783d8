#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the commands print and write: JSON keys, the same bits, shards, selections."""
import csv
import json
import os
import pty
import re
import shutil
import subprocess

import h5py
import numpy as np

from data import digits, make_pool, write_linear, write_nodes
from support import check, main, rows_of, same_bits, same_file, write_pool

QUERY_KEYS = ["rank", "id", "index", "score", "strategy", "predicted", "confidence", "label", "adversarial_class",
              "predicted_name", "label_name", "adversarial_name"]


def prepare(dfal, count=300, epochs=2):
    make_pool(dfal.at("train.h5"), 400, 1)
    make_pool(dfal.at("pool.h5"), count, 2)
    dfal.run("-q", "train", "--net", "lenet5", "train.h5", "-o", "net.h5", "--epochs", epochs)


def json_keys(dfal):
    make_pool(dfal.at("train.h5"), 400, 1)
    make_pool(dfal.at("pool.h5"), 100, 2)
    document = dfal.json("train", "--net", "lenet5", "train.h5", "-o", "net.h5", "--epochs", "2")
    check(list(document) == ["epochs", "loss", "validation_loss", "seconds", "training_seconds"], f"train: {document}")
    check(0 < document["training_seconds"] < document["seconds"], f"train: {document}")
    check(document["epochs"] == 2 and document["validation_loss"] is None, f"train: {document}")
    document = dfal.json("train", "--net", "lenet5", "train.h5", "-o", "net.h5", "--epochs", "2", "--validation", "0.2",
                         "--force")
    check(document["validation_loss"] > 0, f"train: {document}")
    document = dfal.json("eval", "net.h5", "pool.h5")
    check({"samples", "accuracy", "loss", "confusion"} <= set(document), f"eval: {document}")
    check(np.sum(document["confusion"]) == 100 and 0 <= document["accuracy"] <= 1, f"eval: {document}")
    right = np.trace(np.array(document["confusion"])) / 100
    check(abs(right - document["accuracy"]) < 1e-12, "accuracy is not the confusion's")
    ballast = b"x" * (900 << 20)  # a large parent is not dfal's memory
    document = dfal.json("score", "net.h5", "pool.h5", "-o", "s.h5")
    del ballast
    wanted = {"samples", "seconds", "start_seconds", "scoring_seconds", "writing_seconds", "samples_per_second", "sample_iterations_per_second", "iterations", "status",
              "peak_memory_bytes", "engine", "isa"}
    check(wanted <= set(document), f"score: {sorted(wanted - set(document))} is missing")
    check(document["samples"] == 100 and sum(document["status"].values()) == 100, f"score: {document}")
    parts = [document[part + "_seconds"] for part in ("start", "scoring", "writing")]
    check(min(parts) > 0 and abs(sum(parts) - document["seconds"]) < 1e-6, f"score: {document}")
    check(1 << 20 < document["peak_memory_bytes"] < 850 << 20, f"score: {document}")
    with h5py.File(dfal.at("s.h5")) as file:
        check(int(file["iterations"][()].sum()) == document["iterations"], "iterations is not the sum of the file's")
    document = dfal.json("select", "net.h5", "pool.h5", "--strategy", "dfal", "--count", "5", "--scores", "s.h5", "-o", "q.csv")
    check(len(document) == 5 and all(list(query) == [*QUERY_KEYS, "facts"] for query in document), f"select: {document}")
    with open(dfal.at("q.csv"), encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    check(rows[0] == QUERY_KEYS and len(rows) == 6, f"QUERIES.csv: {rows[0]}")
    check([row[1] for row in rows[1:]] == [query["id"] for query in document], "the table and the JSON differ")
    document = dfal.json("verify", "s.h5", "--samples", "16")
    check(document["samples"] == 16 and document["ok"], f"verify: {document}")
    document = dfal.json("info", "s.h5")
    check(document["samples"] == 100 and document["complete" if "complete" in document else "status_OK"] >= 0, "info")
    document = dfal.json("bench", "deepfool", "net.h5", "pool.h5", "--samples", "50", "--repeat", "2")
    check(len(document) == 2 and document[0]["samples"] == 50, f"bench: {document}")
    for backend in "cpu", "ref":
        document = dfal.json("bench", "ops", "net.h5", "--samples", "4", "--repeat", "1", "--backend", backend)
        check_ops(document, backend)
    for key in ("synth", "-n", "10", "-o", "y.h5"), ("status", "s.h5"), ("logits", "net.h5", "pool.h5", "-o", "l.h5"):
        check(isinstance(dfal.json(*key), dict), f"{key[0]} --json is not an object")


def confusion(dfal):
    """The matrix as a file; above 1,000 classes it is only that."""
    for classes, rows in ((10, 60), (1001, 40)):
        labels = np.random.default_rng(classes).integers(0, classes, rows)
        write_pool(dfal.at("pool.h5"), np.random.default_rng(1).integers(0, 256, (rows, 1, 2, 2)).astype(np.uint8), labels,
                   class_count=classes)
        write_linear(dfal.at("net.h5"), np.random.default_rng(2).standard_normal((classes, 4)), np.zeros(classes), (1, 2, 2))
        document = dfal.json("eval", "net.h5", "pool.h5", "--confusion", "c.csv", "--force")
        with open(dfal.at("c.csv"), newline="", encoding="utf-8") as file:
            table = [[int(value) for value in row.values()] for row in csv.DictReader(file)]
        check(table == sorted(table) and sum(row[2] for row in table) == rows, f"{classes} classes: {table}")
        truth = np.zeros((classes, classes), int)
        for label, prediction, count in table:
            truth[label, prediction] = count
        check((truth.sum(1) == np.bincount(labels, minlength=classes)).all(), f"{classes} classes: {table}")
        check(abs(np.trace(truth) / rows - document["accuracy"]) < 1e-12, f"{classes} classes: {document}")
        expected = truth.tolist() if classes <= 1000 else None
        check(document["confusion"] == expected, f"{classes} classes: confusion is {document['confusion']}")
    dfal.refuses(73, "eval", "net.h5", "pool.h5", "--confusion", "c.csv", says="c.csv")
    dfal.refuses(64, "eval", "net.h5", "pool.h5", "--confusion", "pool.h5", "--force", says="pool.h5")


def check_classes(dfal):
    """classes.csv of the run d takes curve.csv apart by class, and queries.csv by label."""
    classes, queries = rows_of(dfal.at("d/classes.csv")), rows_of(dfal.at("d/queries.csv"))
    with h5py.File(dfal.at("test.h5")) as file:
        truth = file["labels"][()]
    for row in rows_of(dfal.at("d/curve.csv")):
        key = [row[name] for name in ("strategy", "trial", "round")]
        own = [one for one in classes if [one[name] for name in ("strategy", "trial", "round")] == key]
        check([int(one["class"]) for one in own] == list(range(10)), f"classes of {key}: {own}")
        check([int(one["samples"]) for one in own] == [int((truth == k).sum()) for k in range(10)], f"samples: {own}")
        right = sum(float(one["accuracy"]) * int(one["samples"]) for one in own if int(one["samples"]))
        check(abs(right / len(truth) - float(row["accuracy"])) < 1e-8, f"{key}: {right / len(truth)}, {row}")
        asked = [query for query in queries if [query[name] for name in ("strategy", "trial", "round")] == key]
        wanted = [sum(int(query["label"]) == k for query in asked) for k in range(10)]
        queried = [int(one["queried"]) for one in own]
        check(queried == wanted if key[2] != "0" else sum(queried) == int(row["annotations"]), f"{key}: {queried}")
    found = dfal.json("info", "d/classes.csv")
    check(found["kind"] == "accuracy of a run, class by class" and found["rows"] == len(classes), f"info: {found}")


def run_tables(dfal):
    """The final table again by status and report; nothing is significant where nothing can be tested."""
    make_pool(dfal.at("train.h5"), 120, 1)
    make_pool(dfal.at("test.h5"), 60, 2)
    # Untrained, all strategies of a trial have the same network: the differences are 0 in both trials.
    line = ("run", "--preset", "quickstart", "--train", "train.h5", "--test", "test.h5", "--set", "trials=2", "--set",
            "annotations=40", "--set", "training.epochs=0", "-o", "d")
    document = dfal.json(*line)
    ours, random = document
    check(ours["difference"] == 0 and ours["difference_stderr"] == 0, f"run: {ours}")
    check([ours[key] for key in ("significant", "p_value", "p_holm")] == [None] * 3, f"run: {ours}")
    check(random["difference"] is None and random["significant"] is None and ours["steps"] == 0, f"run: {document}")
    status = dfal.json("status", "d")
    check(status["table"] == document and status["eta_seconds"] == 0 and status["elapsed_seconds"] > 0, f"status: {status}")
    check_classes(dfal)
    # More annotations than there are rows end with the rows, and nobody counts the rounds one by one.
    dfal.run("-q", *line[:-2], "--set", "annotations=1000000000000", "--set", "query=60", "-o", "all")
    check(dfal.json("status", "all")["eta_seconds"] == 0, "status of a run that asked for all rows")
    # Unfinished, it has its rows to go and not what was asked for; without the pool nobody knows that.
    os.remove(dfal.at("all/state/finished"))
    status = dfal.json("status", "all")
    check([status[key] for key in ("eta_seconds", "total", "percent", "rounds", "state")] == [0, 480, 99.9, 3, "unfinished"], f"status: {status}")
    os.rename(dfal.at("train.h5"), dfal.at("away.h5"))
    status = dfal.json("status", "all")
    check(status["total"] == 4000000000000 and status["eta_seconds"] > 1e6, f"status without the pool: {status}")
    os.rename(dfal.at("away.h5"), dfal.at("train.h5"))
    report = dfal.json("report", "d", "-o", "r.html")
    check(report == {"output": "r.html", "runs": [{"run": "d", "table": document}]}, f"report: {report}")
    out, _ = dfal.run("status", "d")
    check("+0.0000 +- 0.0000, not tested (all trials differ by the same)" in out and "elapsed_seconds" in out, f"status: {out}")
    with open(dfal.at("d/report.html"), encoding="utf-8") as file:
        page = file.read()
        check("Each round trains from scratch." in page, "the page does not say what training starts from")
        check("not tested: all trials differ by the same" in page, "the page tests what cannot be tested")
    # Of a run that was stopped a strategy may have no round: it has no figure, and other rounds are not compared.
    dfal.run("-q", *line[:-1], "three", "--set", "strategies=[dfal, random, entropy]", "--set", "training.epochs=2", "--set", "annotations=80", "--set", "trials=1")
    os.remove(dfal.at("three/state/finished"))
    with open(dfal.at("three/curve.csv"), encoding="utf-8") as file:
        lines = file.readlines()
    for gone, compared in ((("entropy,",), True), (("entropy,", "random,1,3,"), False)):
        with open(dfal.at("three/curve.csv"), "w", encoding="utf-8") as file:
            file.writelines(row for row in lines if not row.startswith(gone))
        dfal.run("-q", "report", "three", "-o", "three.html", "--force")
        with open(dfal.at("three.html"), encoding="utf-8") as file:
            page = file.read()
        check(("differ in optimiser steps" in page) == compared, f"without {gone}: optimiser steps")
        check(not re.search(r"[ >]nan\b", page), f"without {gone}: the page has a nan")
    # One trial: neither a standard error nor a test.
    out, _ = dfal.run("-q", *line[:-1], "one", "--set", "trials=1")
    check("not tested (one trial)" in out and "nan" not in out, f"run: {out}")
    check("table" not in dfal.json("status", "train.h5"), "a pool has a table of results")


def check_ops(document, backend):
    check(len(document) == 1 and document[0]["backend"] == backend, f"bench ops: {document}")
    roofs, ops = document[0], document[0]["ops"]
    check({op["job"] for op in ops} == {"score", "train"}, f"bench ops: {ops}")
    names = [op["op"] for op in ops if op["job"] == "score"]
    for name in "deepfool_refill", "deepfool_settle", "conv_fwd", "conv_bwd", "gemm_fwd", "relu_bwd", "deepfool_choose", "deepfool_step":
        check(name in names, f"bench ops: score has no {name}: {names}")
    for name in "conv_wgrad", "softmax_loss", "adam_step":
        check(name in [op["op"] for op in ops if op["job"] == "train"], f"bench ops: train has no {name}")
    for op in ops:
        check(op["calls"] > 0 and op["rows"] > 0 and op["seconds"] > 0 and op["bytes"] > 0, f"bench ops: {op}")
        share = op["bytes"] / op["seconds"] / roofs["copy_bytes_per_second"]
        check(abs(op["copy_share"] - share) <= 1e-6 * share, f"bench ops: {op} of {roofs}")
        check((op["product_share"] is None) == (op["operations"] == 0), f"bench ops: {op}")
        told = op["engine"] is not None
        check(told == (backend == "cpu" and op["operations"] > 0), f"bench ops: {op}")
    first = next(op for op in ops if op["op"] == "conv_fwd")
    check(first["shape"] == "1>6 5x5 28x28", f"bench ops: {first}")
    check(first["operations"] == first["rows"] * 2 * 6 * 25 * 24 * 24, f"bench ops: {first}")


def quiet(dfal):
    make_pool(dfal.at("pool.h5"), 100, 2)
    make_pool(dfal.at("train.h5"), 100, 3)
    for words in (("synth", "-n", "10", "-o", "y.h5"), ("train", "--net", "lenet5", "train.h5", "-o", "net.h5", "--epochs", "1"),
                  ("eval", "net.h5", "pool.h5"), ("logits", "net.h5", "pool.h5", "-o", "l.h5"),
                  ("score", "net.h5", "pool.h5", "-o", "s.h5"), ("info", "s.h5"), ("status", "s.h5"),
                  ("merge", "s.h5", "-o", "m.h5"), ("verify", "s.h5", "--samples", "4"),
                  ("select", "net.h5", "pool.h5", "--strategy", "random", "--count", "3", "-o", "q.csv")):
        _, err = dfal.run(*words, "-q")
        check(err == "", f"{words[0]} -q says {err}")
    _, err = dfal.run("score", "net.h5", "pool.h5", "-o", "t.h5")
    for word in ("net.h5", "pool.h5", "10 classes", "lts4", "cpu", "fused", "strict", "batch", "t.h5", "dfal select"):
        check(word in err, f"score does not tell {word}: {err}")
    _, err = dfal.run("--log-format", "json", "score", "net.h5", "pool.h5", "-o", "u.h5")
    for line in err.splitlines():
        event = json.loads(line)
        check({"time", "level", "event"} <= set(event), f"event {line}")


def next_lines(dfal):
    """What comes next can be pasted into a shell, whatever the names."""
    prepare(dfal, count=40, epochs=0)
    os.rename(dfal.at("pool.h5"), dfal.at("my pool.h5"))
    for words, expected in (
            (("score", "net.h5", "my pool.h5", "-o", "it's.h5"),
             "select net.h5 'my pool.h5' --strategy dfal --count 10 --scores 'it'\\''s.h5' -o queries.csv"),
            (("train", "--net", "lenet5", "my pool.h5", "--epochs", "0", "-o", "a net.h5"), "eval 'a net.h5' TEST-POOL.h5")):
        _, err = dfal.run(*words)
        check(f"next: dfal {expected}\n" in err, f"{words}: {err}")


def on_terminal(dfal, terminal, *words):
    """Run with stderr on a pseudo-terminal; what it showed."""
    main_end, other_end = pty.openpty()
    process = subprocess.Popen([dfal.path, *words], cwd=dfal.folder, stdout=subprocess.DEVNULL, stderr=other_end,
                               env={**os.environ, "TERM": terminal})
    os.close(other_end)
    shown = b""
    while True:
        try:
            part = os.read(main_end, 65536)
        except OSError:
            break
        if not part:
            break
        shown += part
    os.close(main_end)
    check(process.wait() == 0, f"{words[0]} on a terminal: {process.returncode}")
    return shown.decode("utf-8", "replace")


def terminal(dfal):
    """A terminal shows progress in one line; a file, a dumb terminal and JSON do not."""
    prepare(dfal, count=2000, epochs=1)
    words = ["score", "net.h5", "pool.h5", "-o", "s.h5", "--force"]
    shown = on_terminal(dfal, "xterm", *words)
    check(re.search(r"/2,000  (ETA [^%]+  )?[\d.]+ %  [\d,.]+ samples/s  [\d.]+ it  OK [\d.]+ %", shown), f"another order of progress: {shown!r}")
    check("\r\033[K" in shown and " %" in shown and "/2,000" in shown, f"no progress on a terminal: {shown!r}")
    for number, more in enumerate(((), ("-q",), ("--log-format", "json"))):
        shown = on_terminal(dfal, "xterm" if number else "dumb", *words, *more)
        check("\033" not in shown, f"control codes with {more}: {shown!r}")
    check(json.loads(shown.splitlines()[0])["event"], "JSON lines on a terminal")


def same_scores(dfal):
    """No result depends on batch, threads or the position in the pool; on both ISAs."""
    prepare(dfal)
    samples, labels = digits(300, 2)
    order = np.random.default_rng(9).permutation(300)
    write_pool(dfal.at("shuffled.h5"), samples[order], labels[order])
    dfal.run("-q", "score", "net.h5", "pool.h5", "-o", "first.h5", "--adversarial", "5")
    isas = ["avx2"] + (["avx512"] if "avx512f" in dfal.json("doctor")["cpu_features"] else [])
    for isa in isas:
        first = f"{isa}.h5"
        dfal.run("-q", "--isa", isa, "--threads", "1", "score", "net.h5", "pool.h5", "-o", first, "--adversarial", "5")
        for number, words in enumerate((("--batch", "1", "--threads", "2"), ("--batch", "7", "--threads", "2"),
                                        ("--batch", "64", "--threads", "1"), ("--batch", "4096", "--threads", "2"))):
            other = f"{isa}-{number}.h5"
            dfal.run("-q", "--isa", isa, "score", "net.h5", "pool.h5", "-o", other, "--adversarial", "5", *words)
            same_bits(dfal.at(first), dfal.at(other))
        dfal.run("-q", "--isa", isa, "score", "net.h5", "shuffled.h5", "-o", f"{isa}-shuffled.h5")
        with h5py.File(dfal.at(first)) as a, h5py.File(dfal.at(f"{isa}-shuffled.h5")) as b:
            for key in ("margin", "status", "label", "adversarial_class", "iterations", "first_margin", "logit_gap"):
                check(a[key][()][order].tobytes() == b[key][()].tobytes(), f"{isa}: {key} depends on the order")


def passed_over(dfal):
    """Rows whose float32 is another number than float64, and which the file's arithmetic gives again: one and two in a
    hundred are passed over and counted. 4097^2 - 16785400 is 9, of which float32 makes 8, whatever the order of sums."""
    write_linear(dfal.at("net.h5"), np.array([[4097.0], [0.0]]), np.array([0.0, 16785400.0]), (1, 1, 1))
    for odd, excused in ((0, 0), (3, 3), (4, 0)):
        samples = np.arange(1, 101, dtype=np.float32)
        samples[10:10 + odd] = 4097
        write_pool(dfal.at("pool.h5"), samples.reshape(100, 1, 1, 1), None, class_count=2)
        dfal.run("-q", "score", "net.h5", "pool.h5", "-o", "s.h5", "--force")
        out, err = dfal.run("-q", "--json", "verify", "s.h5", "--samples", "100", code=65 if odd > 3 else 0)
        told = json.loads(out)
        check((told["samples"], told["excused"], told["ok"]) == (100, excused, odd <= 3), f"{odd} rows: {out}")
        check((told["largest_relative_error"] > 0.01) == (odd > 3), f"{odd} rows: {out}")
        check(odd <= 3 or "4 of 100 samples differ" in err, f"{odd} rows: {err}")
        out, _ = dfal.run("-q", "verify", "s.h5", "--samples", "100", code=65 if odd > 3 else 0)
        check(re.search(rf"^passed over +{excused}$", out, re.M), f"{odd} rows: {out}")


def same_networks(dfal):
    make_pool(dfal.at("train.h5"), 400, 1)
    isas = ["avx2"] + (["avx512"] if "avx512f" in dfal.json("doctor")["cpu_features"] else [])
    for isa in isas:
        for threads in ("1", "2"):
            dfal.run("-q", "--isa", isa, "--threads", threads, "train", "--net", "lenet5", "train.h5", "-o",
                     f"{isa}-{threads}.h5", "--epochs", "2", "--validation", "0.1")
            dfal.run("-q", "--isa", isa, "--threads", threads, "logits", f"{isa}-1.h5", "train.h5", "-o",
                     f"{isa}-{threads}-logits.h5")
        same_bits(dfal.at(f"{isa}-1.h5"), dfal.at(f"{isa}-2.h5"))
        same_bits(dfal.at(f"{isa}-1-logits.h5"), dfal.at(f"{isa}-2-logits.h5"))
    dfal.run("-q", "--seed", "2", "train", "--net", "lenet5", "train.h5", "-o", "seed2.h5", "--epochs", "2")
    with h5py.File(dfal.at("seed2.h5")) as a, h5py.File(dfal.at("avx2-1.h5")) as b:
        check(a["parameters/conv1/weight"][()].tobytes() != b["parameters/conv1/weight"][()].tobytes(),
              "the seed changes nothing")


def shards(dfal):
    prepare(dfal, count=301)
    dfal.run("-q", "score", "net.h5", "pool.h5", "-o", "whole.h5")
    for number in (1, 2, 3):
        dfal.run("-q", "score", "net.h5", "pool.h5", "-o", f"part{number}.h5", "--shard", f"{number}/3")
    dfal.run("-q", "merge", "part3.h5", "part1.h5", "part2.h5", "-o", "merged.h5")
    same_bits(dfal.at("whole.h5"), dfal.at("merged.h5"), ignore=("@shard", "@shard_count", "@range"))
    dfal.refuses(65, "merge", "part1.h5", "part3.h5", "-o", "bad.h5", says="missing")
    dfal.refuses(65, "merge", "part1.h5", "part2.h5", "part2.h5", "part3.h5", "-o", "bad.h5", says="part2.h5")
    dfal.run("-q", "score", "net.h5", "pool.h5", "-o", "other.h5", "--shard", "2/3", "--max-iter", "9")
    dfal.refuses(78, "merge", "part1.h5", "other.h5", "part3.h5", "-o", "bad.h5", says=("other.h5", "max_iter"))
    for preset in ("paper", "deepal"):  # others follow from it, and come before it by name: classes, clip, floor
        dfal.run("-q", "score", "net.h5", "pool.h5", "-o", "other.h5", "--shard", "2/3", "--deepfool", preset, "--force")
        dfal.refuses(78, "merge", "part1.h5", "other.h5", "part3.h5", "-o", "bad.h5", says=f"other.h5 was made with preset {preset}, expected lts4")
    dfal.run("-q", "--isa", "avx2", "score", "net.h5", "pool.h5", "-o", "avx2.h5", "--shard", "2/3")
    isa = dfal.json("info", "whole.h5")["isa"]
    if isa != "avx2":
        dfal.refuses(78, "merge", "part1.h5", "avx2.h5", "part3.h5", "-o", "bad.h5", says="isa")
        dfal.run("-q", "--allow-mixed", "merge", "part1.h5", "avx2.h5", "part3.h5", "-o", "mixed.h5")
        with h5py.File(dfal.at("mixed.h5")) as file:
            check("avx2" in file.attrs["mixed"] and isa in file.attrs["mixed"], "the mixture is not recorded")
            check(dfal.json("info", "mixed.h5")["mixed"] == file.attrs["mixed"], "info does not tell the mixture")
        check("mixed" not in dfal.json("info", "whole.h5"), "info of a file of one arithmetic tells a mixture")
        dfal.refuses(78, "merge", "mixed.h5", "-o", "bad.h5", says=("mixed.h5", "--allow-mixed"))
    for number, images in ((1, 5), (2, 1)):
        dfal.run("-q", "score", "net.h5", "pool.h5", "-o", f"q{number}.h5", "--shard", f"{number}/2",
                 "--adversarial", str(images))
    dfal.refuses(78, "merge", "q1.h5", "q2.h5", "-o", "bad.h5", says=("q2.h5", "--adversarial 1", "5"))
    with h5py.File(dfal.at("q2.h5"), "r+") as file:
        file.attrs["adversarial"] = 5
        del file["adversarial/samples"]
        file["adversarial/samples"] = np.zeros((1, 1, 1, 1), np.float32)
    dfal.refuses(65, "merge", "q1.h5", "q2.h5", "-o", "bad.h5", says=("q2.h5", "1x1x1"))
    check(not os.path.exists(dfal.at("bad.h5")), "a refused merge left an output")
    dfal.run("-q", "score", "net.h5", "pool.h5", "-o", "range.h5", "--range", "100:200")
    with h5py.File(dfal.at("whole.h5")) as a, h5py.File(dfal.at("range.h5")) as b:
        check(np.array_equal(b["index"][()], np.arange(100, 200)), "--range 100:200 holds other rows")
        check(a["margin"][()][100:200].tobytes() == b["margin"][()].tobytes(), "--range changes margins")


def linear_margins(dfal):
    """The closed form: |f_k - f_l| / ||w_k - w_l||_q, nearest class, in all three norms."""
    random = np.random.default_rng(4)
    weight, bias = random.normal(size=(4, 9)), random.normal(size=4)
    weight, bias = weight.astype(np.float32).astype(np.float64), bias.astype(np.float32).astype(np.float64)
    write_linear(dfal.at("net.h5"), weight, bias, (1, 3, 3))
    samples = random.normal(size=(50, 1, 3, 3)).astype(np.float32)
    write_pool(dfal.at("pool.h5"), samples, None, class_count=4)
    f = samples.reshape(50, 9).astype(np.float64) @ weight.T + bias
    label = f.argmax(1)
    for norm, dual in (("l2", 2), ("linf", 1), ("l1", np.inf)):
        dfal.run("-q", "score", "net.h5", "pool.h5", "-o", f"{norm}.h5", "--norm", norm)
        gap = f[np.arange(50), label][:, None] - f
        length = np.array([[np.linalg.norm(weight[k] - weight[l], dual) for k in range(4)] for l in label])
        with np.errstate(invalid="ignore", divide="ignore"):
            expected = np.where(np.arange(4)[None] == label[:, None], np.inf, gap / length).min(1)
        with h5py.File(dfal.at(f"{norm}.h5")) as file:
            check(np.array_equal(file["label"][()], label), f"{norm}: labels")
            check(np.allclose(file["first_margin"][()], expected, rtol=1e-5), f"{norm}: first_margin")
            check(np.allclose(file["margin"][()], 1.02 * (expected + 1e-4), rtol=1e-5), f"{norm}: margin")
            check(np.all(file["iterations"][()] == 1), f"{norm}: an affine network needs one step")
        if norm != "l2":
            for words in ("score", "-o", "none.h5"), ("select", "--strategy", "dfal", "--count", "2", "-o", "none.csv"):
                dfal.refuses(64, words[0], "net.h5", "pool.h5", *words[1:], "--deepfool", "sdf", "--norm", norm,
                             says=("l2", "'sdf'"))
            continue
        tighter(dfal, samples, f, expected)


def tighter(dfal, samples, f, distance):
    """SuperDeepFool of a linear network: the distance itself, up to what 10 or 20 bisections leave; twins lie there."""
    for words, times in ((), 10), (("--refine", "bisect"), 20):
        dfal.run("-q", "score", "net.h5", "pool.h5", "-o", "sdf.h5", "--force", "--deepfool", "sdf", *words)
        with h5py.File(dfal.at("sdf.h5")) as file:
            margin = file["margin"][()].astype(np.float64)
            check(np.all(file["status"][()] == 0) and np.all(file["iterations"][()] == 1), "sdf: statuses or iterations")
        rest = 1.02 * (distance + 1e-4) / 2 ** times
        check(np.all((margin > distance * (1 - 1e-5)) & (margin < distance * (1 + 1e-5) + rest)), f"sdf: margins {margin}")
    dfal.run("-q", "select", "net.h5", "pool.h5", "--strategy", "dfal", "--count", "5", "--deepfool", "sdf", "--twins",
             "twins.h5", "-o", "q.csv")
    with open(dfal.at("q.csv"), encoding="utf-8", newline="") as file:
        rows = [int(row["index"]) for row in csv.DictReader(file)]
    with h5py.File(dfal.at("twins.h5")) as file:
        way = (file["samples"][()].astype(np.float64) - samples[rows]).reshape(5, 9)
    length = np.linalg.norm(way, axis=1)
    check(np.allclose(length, distance[rows], rtol=2e-3, atol=1e-4), f"sdf: twins lie {length} away")


def clipped(dfal):
    """foolbox clips to the range of pictures: samples outside would get margins that are the way into it."""
    random = np.random.default_rng(5)
    write_linear(dfal.at("net.h5"), random.normal(size=(4, 9)), random.normal(size=4), (1, 3, 3))
    inside = random.random((100, 1, 3, 3)).astype(np.float32)
    inside[:2] = np.array([0, 1 + 1e-7], np.float32)[:, None, None, None]
    inside[50] = np.inf  # has a status of its own
    outside = {0: -0.5, 99: 255.0}
    write_pool(dfal.at("in.h5"), inside, None, class_count=4)
    write_pool(dfal.at("bytes.h5"), (inside[:50] * 255).astype(np.uint8), None, class_count=4, scale=0.02, offset=-2.1)
    for pool in ("in.h5", "bytes.h5"):
        dfal.run("-q", "score", "net.h5", pool, "--deepfool", "foolbox", "-o", f"s-{pool}")
    for row, value in outside.items():
        samples = inside.copy()
        samples[row, 0, 1, 1] = value
        write_pool(dfal.at("out.h5"), samples, None, class_count=4)
        says = ("out.h5", f"row {row} ", f"{value:g}", "'foolbox'", "0 to 1")
        dfal.refuses(65, "score", "net.h5", "out.h5", "--deepfool", "foolbox", "-o", "s.h5", says=says)
        check(not os.path.exists(dfal.at("s.h5")), "scores were written")
        dfal.refuses(65, "select", "net.h5", "out.h5", "--strategy", "dfal", "--deepfool", "foolbox", "--count", "2",
                     "-o", "q.csv", says=says)
    dfal.run("-q", "score", "net.h5", "out.h5", "-o", "s.h5")


def selections(dfal):
    prepare(dfal)
    dfal.run("-q", "score", "net.h5", "pool.h5", "-o", "s.h5")
    words = ("select", "net.h5", "pool.h5", "--strategy", "dfal", "--count", "10")
    dfal.run("-q", *words, "-o", "a.csv")
    dfal.run("-q", *words, "-o", "b.csv", "--scores", "s.h5", "--threads", "1")
    dfal.run("-q", *words, "-o", "c.csv", "--batch", "3")
    same_file(dfal.at("a.csv"), dfal.at("b.csv"))
    same_file(dfal.at("a.csv"), dfal.at("c.csv"))


def node_activations(dfal):
    prepare(dfal)
    dfal.run("-q", "logits", "net.h5", "pool.h5", "-o", "l.h5")
    dfal.run("-q", "logits", "net.h5", "pool.h5", "-o", "f.h5", "--node", "fc3")
    dfal.run("-q", "logits", "net.h5", "pool.h5", "-o", "c.h5", "--node", "conv1")
    with h5py.File(dfal.at("l.h5")) as a, h5py.File(dfal.at("f.h5")) as b, h5py.File(dfal.at("c.h5")) as c:
        check(a["logits"].shape == (300, 10) and a["logits"].dtype == np.float32, "logits are [N,K] f32")
        check(np.allclose(a["logits"][()], b["fc3"][()], atol=1e-3), "the last node's activations are not the logits")
        check(c["conv1"].shape == (300, 6, 24, 24), f"conv1 is {c['conv1'].shape}")
    dfal.refuses(64, "logits", "net.h5", "pool.h5", "-o", "x.h5", "--node", "conv11", says=("conv11", "conv1"))


def training(dfal):
    make_pool(dfal.at("train.h5"), 600, 1)
    make_pool(dfal.at("test.h5"), 200, 2)
    dfal.run("-q", "train", "--net", "lenet5", "train.h5", "-o", "zero.h5", "--epochs", "0")
    dfal.run("-q", "train", "--net", "lenet5", "train.h5", "-o", "again.h5", "--epochs", "0")
    same_bits(dfal.at("zero.h5"), dfal.at("again.h5"))
    dfal.run("-q", "train", "--net", "lenet5", "train.h5", "-o", "fresh.h5", "--epochs", "1")
    dfal.run("-q", "train", "--net", "zero.h5", "--init", "zero.h5", "train.h5", "-o", "from.h5", "--epochs", "3")
    check(dfal.json("eval", "from.h5", "test.h5")["accuracy"] > 0.9, "training from --init does not learn")
    dfal.run("-q", "train", "--net", "lenet5", "--optimizer", "sgd", "--lr", "0.01", "train.h5", "-o", "sgd.h5", "--epochs", "5")
    check(dfal.json("eval", "sgd.h5", "test.h5")["accuracy"] > 0.5, "SGD does not learn")
    document = dfal.json("train", "--net", "lenet5", "train.h5", "-o", "sub.h5", "--subset", "100", "--epochs", "2",
                         "--restarts", "2")
    check(document["epochs"] == 2, f"train --restarts: {document}")
    make_pool(dfal.at("wide.h5"), 20, 1)
    dfal.refuses(65, "train", "--net", "vgg8", "--init", "zero.h5", "train.h5", "-o", "no.h5", says="graph")


def bounded_memory(dfal):
    """A pool a hundred times larger takes no more memory to open, though a row is read from each of its chunks."""
    peaks = []
    for rows in (2000, 200000):
        with h5py.File(dfal.at("pool.h5"), "w") as file:
            file.attrs.update({"format": "dfal-pool", "version": 1, "class_count": 10})
            file.create_dataset("samples", (rows, 1, 28, 28), "u1", chunks=(1000, 1, 28, 28), compression=1,
                                data=np.zeros((rows, 1, 28, 28), "u1"))
        process = dfal.start("-q", "info", "pool.h5")
        process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        check(status == 0, f"info: {status}")
        peaks.append(usage.ru_maxrss / 1024)
    check(peaks[1] < peaks[0] + 32, f"info peaks at {peaks[0]:.0f} MiB and {peaks[1]:.0f} MiB")


def unconverged(dfal):
    """Where no walk ends every command says so, and no number stands for what there is not."""
    # f = 0.01 max(x, 0) + 10 max(x - 1, 0) - 0.001: from x > 1 the first step ends short of the boundary at 0.1, the second passes it.
    nodes = [{"name": name, "op": op, "inputs": [source], "attributes": {}} for name, op, source in (
        ("flat", "Flatten", "input"), ("two", "Gemm", "flat"), ("relu", "Relu", "two"), ("fc", "Gemm", "relu"))]
    write_nodes(dfal.at("net.h5"), nodes, {"two/weight": [[1], [1]], "two/bias": [0, -1], "fc/weight": [[0, 0], [0.01, 10]],
                                           "fc/bias": [0, -0.001]}, (1, 1, 1), 2)
    samples = np.linspace(1.5, 2.5, 40, dtype=np.float32).reshape(40, 1, 1, 1)
    write_pool(dfal.at("pool.h5"), samples, class_count=2)
    select = ("select", "net.h5", "pool.h5", "--strategy", "dfal", "--count", "2", "-o", "q.csv", "--unconverged", "exclude", "--force")
    for iterations, status in ((1, "MAX_ITER"), (3, "OK")):
        walk = ("--max-iter", iterations)
        out, err = dfal.run("score", "net.h5", "pool.h5", *walk, "-o", "s.h5", "--force")
        check((out + err).count("nan") == 0 and re.search(rf"{status} +40 ", out), f"{iterations} iterations: {out}{err}")
        says = ("warning: none of the 40 samples has a margin, 40 of them ended with MAX_ITER", "--max-iter", "no margin, output")
        check(all((word in err) == (status != "OK") for word in says), f"{iterations} iterations: {err}")
        facts = dfal.json("info", "s.h5")
        check(all((key in facts) == (status == "OK") for key in ("margin_least", "margin_most")), f"{iterations} iterations: {facts}")
        if status == "OK":
            dfal.run("-q", *select, *walk)
            continue
        for more in ((), ("--scores", "s.h5")):
            dfal.refuses(65, *select, *walk, *more, says="pool.h5: none of the 40 candidates has a margin: all ended with MAX_ITER, "
                         "which --unconverged exclude leaves out")
    samples[3:7] = np.nan
    write_pool(dfal.at("pool.h5"), samples, class_count=2)
    dfal.refuses(65, *select, "--max-iter", "1", says=("none of the 40 candidates has a margin: 36 ended with MAX_ITER", "the others are not finite"))


main({f.__name__: f for f in (json_keys, confusion, run_tables, quiet, next_lines, terminal, same_scores, passed_over,
                              same_networks, shards, linear_margins, clipped, selections, unconverged, node_activations,
                              training, bounded_memory)})
