#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Scores, parts and logits know the rows they were made from: a pool that changes in between is found, a copy is none."""
import glob
import os
import shutil
import time

import h5py
import numpy as np

from data import make_pool, write_linear
from support import check, main, same_bits, write_pool

ROWS = 40000  # three shards; the fingerprint looks at every 39th row
SHARD = 16384
SCORE = ("score", "net.h5", "pool.h5", "--max-iter", "1")


def make(dfal, count=ROWS):
    random = np.random.default_rng(3)
    write_pool(dfal.at("pool.h5"), random.integers(0, 256, (count, 1, 4, 4)).astype(np.uint8), class_count=3)
    write_linear(dfal.at("net.h5"), random.standard_normal((3, 16)), np.zeros(3), (1, 4, 4))


def change(dfal, row, name="pool.h5", rows=ROWS):
    """Another row that the fingerprint does not look at."""
    check(row % (rows // 1024) != 0, "a row of the fingerprint")
    with h5py.File(dfal.at(name), "r+") as file:
        file["samples"][row] = 255 - file["samples"][row]


def unfinish(dfal, shards):
    """What a stopped job leaves: the finished output s.h5, cut back into some of its shards."""
    parts = dfal.at("s.h5.parts")
    os.mkdir(parts)
    for number in shards:
        begin, end = number * SHARD, min(ROWS, (number + 1) * SHARD)
        shutil.copy(dfal.at("s.h5"), dfal.at("part.h5"))
        with h5py.File(dfal.at("part.h5")) as whole, h5py.File(f"{parts}/{number:06}.h5", "w") as part:
            for key, value in whole.attrs.items():
                part.attrs[key] = value
            for key, data in whole.items():
                if key == "row_hash":
                    part[key] = data[number:number + 1]
                    part[key].attrs["hash"] = data.attrs["hash"]
                elif key != "id":
                    part[key] = data[begin:end]
    os.remove(dfal.at("part.h5"))
    os.rename(dfal.at("s.h5"), dfal.at("whole.h5"))


def resumed(dfal):
    make(dfal)
    dfal.run("-q", *SCORE, "-o", "s.h5")
    unfinish(dfal, (0, 2))
    shutil.copytree(dfal.at("s.h5.parts"), dfal.at("kept"))
    shutil.copy(dfal.at("pool.h5"), dfal.at("copy.h5"))
    os.replace(dfal.at("copy.h5"), dfal.at("pool.h5"))  # other times, another file: the same rows
    dfal.run("-q", *SCORE, "-o", "s.h5")
    same_bits(dfal.at("whole.h5"), dfal.at("s.h5"))
    for row in (7, 39001):
        os.remove(dfal.at("s.h5"))
        shutil.copytree(dfal.at("kept"), dfal.at("s.h5.parts"))
        change(dfal, row)
        dfal.refuses(78, *SCORE, "-o", "s.h5",
                     says=("s.h5.parts", "pool.h5", "rows 0 to 16383" if row == 7 else "rows 32768 to 39999"))
        check(not os.path.exists(dfal.at("s.h5")), "an output of two pools")
        change(dfal, row)
        dfal.run("-q", *SCORE, "-o", "s.h5")  # the pool is what it was
        same_bits(dfal.at("whole.h5"), dfal.at("s.h5"))
    os.remove(dfal.at("s.h5"))
    shutil.copytree(dfal.at("kept"), dfal.at("s.h5.parts"))
    change(dfal, 20000)  # of the shard that was not finished
    dfal.run("-q", *SCORE, "-o", "s.h5")
    with h5py.File(dfal.at("whole.h5")) as before, h5py.File(dfal.at("s.h5")) as after:
        check([tuple(a) == tuple(b) for a, b in zip(before["row_hash"], after["row_hash"])] == [True, False, True],
              "the changed row's shard has another hash")


def scores(dfal):
    make(dfal)
    dfal.run("-q", *SCORE, "-o", "s.h5")
    dfal.run("-q", "logits", "net.h5", "pool.h5", "-o", "l.h5")
    select = ("select", "net.h5", "pool.h5", "--count", "5", "-o", "q.csv", "--force")
    by_scores = (*select, "--strategy", "dfal", "--scores", "s.h5")
    by_logits = (*select, "--strategy", "entropy", "--logits", "l.h5")
    os.utime(dfal.at("pool.h5"))
    for words in (by_scores, by_logits, ("verify", "s.h5", "net.h5", "pool.h5", "--samples", "8")):
        dfal.run("-q", *words)
        change(dfal, 33333)
        dfal.refuses(65, *words, says=("pool.h5", "rows 32768 to 39999"))
        change(dfal, 33333)
    change(dfal, 33333)
    for words in (by_scores, by_logits):
        dfal.run("-q", *words, "--trust-rows")
    with h5py.File(dfal.at("pool.h5"), "r+") as file:  # labels are not rows
        file["samples"][33333] = 255 - file["samples"][33333]
        file["labels"] = np.where(np.arange(ROWS) < 10, 1, -1)
    dfal.run("-q", *by_scores)


def trained(dfal):
    """A training and a run that are continued on other rows."""
    make_pool(dfal.at("train.h5"), 3000, 1)
    make_pool(dfal.at("test.h5"), 200, 2)
    with open(dfal.at("run.yaml"), "w", encoding="utf-8") as file:
        file.write("data: {train: train.h5, test: test.h5}\nnetwork: lenet5\nstrategies: [random]\ninitial: 20\nquery: 20\n"
                   "annotations: 2000\ntrials: 1\ntraining: {restarts: 1, epochs: 1, validation: 0}\n")
    train = ("train", "--net", "lenet5", "train.h5", "-o", "n.h5", "--epochs", "200")
    for words, left in ((train, "n.h5.parts/state.h5"), (("run", "run.yaml", "-o", "d"), "d/state/*.h5")):
        process = dfal.start("-q", *words)
        while process.poll() is None and not glob.glob(dfal.at(left)):
            time.sleep(0.01)
        process.terminate()
        _, err = process.communicate()
        check(process.returncode == 75, f"{words[0]}: {process.returncode} {err}")
        change(dfal, 7, "train.h5", 3000)
        dfal.refuses(78, *words, says=("row", "xxh3-128"))
        change(dfal, 7, "train.h5", 3000)


def told(dfal):
    """What is in the file, as docs/FORMATS.md says it; any cut and any order give the same."""
    make(dfal)
    dfal.run("-q", *SCORE, "-o", "s.h5", "--threads", "2")
    dfal.run("-q", "logits", "net.h5", "pool.h5", "-o", "l.h5")
    for begin, end in ((0, 1000), (1000, 17000), (17000, ROWS)):
        dfal.run("-q", *SCORE, "-o", f"{begin}.h5", "--range", f"{begin}:{end}", "--batch", "5")
    dfal.run("-q", "merge", "1000.h5", "0.h5", "17000.h5", "-o", "m.h5")
    same_bits(dfal.at("s.h5"), dfal.at("m.h5"))
    with h5py.File(dfal.at("1000.h5")) as part, h5py.File(dfal.at("s.h5")) as whole, h5py.File(dfal.at("l.h5")) as logits:
        check(part["row_hash"][:, :2].tolist() == [[1000, 15384], [16384, 616]], "pieces of a range")
        check(whole["row_hash"][:, :2].tolist() == [[0, SHARD], [SHARD, SHARD], [2 * SHARD, ROWS - 2 * SHARD]], "pieces")
        check(whole["row_hash"].attrs["hash"] == "xxh3-128", "the hash's name")
        check((whole["row_hash"][:] == logits["row_hash"][:]).all(), "logits of the same rows")


def old(dfal):
    """Files of a version without hashes are used, and what cannot be compared is said."""
    make(dfal)
    dfal.run("-q", *SCORE, "-o", "s.h5")
    unfinish(dfal, (0, 2))
    with h5py.File(dfal.at("s.h5.parts/000002.h5"), "r+") as file:
        del file["row_hash"]
    _, err = dfal.run(*SCORE, "-o", "s.h5")
    check(f"{ROWS - 2 * SHARD} of its rows" in err, f"rows that cannot be compared are told:\n{err}")
    same_bits(dfal.at("whole.h5"), dfal.at("s.h5"), ignore=("row_hash",))
    with h5py.File(dfal.at("s.h5"), "r+") as file:
        check(len(file["row_hash"]) == 2, "hashes of what was read")
        del file["row_hash"]
    _, err = dfal.run("select", "net.h5", "pool.h5", "--strategy", "dfal", "--count", "5", "--scores", "s.h5", "-o", "q.csv")
    check(f"{ROWS} of its rows" in err, f"select says what it cannot compare:\n{err}")
    for name, value in (("first", [[1, SHARD, 0, 0]]), ("count", [[0, 5, 0, 0]]), ("far", [[1 << 40, 5, 0, 0]]),
                        ("many", [[0, SHARD, 0, 0]] * 9)):
        shutil.copy(dfal.at("s.h5"), dfal.at(f"{name}.h5"))
        with h5py.File(dfal.at(f"{name}.h5"), "r+") as file:
            file["row_hash"] = np.array(value, np.uint64)
            file["row_hash"].attrs["hash"] = "xxh3-128"
        dfal.refuses(65, "verify", f"{name}.h5", "net.h5", "pool.h5", says=(f"{name}.h5", "row_hash"))


main({f.__name__: f for f in (resumed, scores, trained, told, old)})
