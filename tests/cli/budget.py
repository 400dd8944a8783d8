#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a score costs: --estimate tells before, --memory bounds it, and no result depends on either."""
import glob
import json
import multiprocessing
import os
import re

import h5py
import numpy as np

from data import make_pool
from wide import write_wide
from support import check, main, same_bits, write_pool


def estimate(dfal):
    make_pool(dfal.at("train.h5"), 300, 1)
    make_pool(dfal.at("pool.h5"), 3000, 2)
    dfal.run("-q", "train", "--net", "lenet5", "train.h5", "-o", "net.h5", "--epochs", "1")
    before = sorted(os.listdir(dfal.folder))
    document = dfal.json("score", "net.h5", "pool.h5", "--estimate")
    check(document["samples"] == 3000 and document["timed_samples"] == 256, f"{document}")
    check(abs(document["seconds"] - document["timed_seconds"] * 3000 / 256) < 1e-6, f"{document}")
    check(document["samples_per_second"] > 0 and document["batch"] >= 1, f"{document}")
    out, _ = dfal.run("-q", "score", "net.h5", "pool.h5", "-o", "s.h5", "--estimate", "--range", "100:200")
    check("100 in about" in out and "output" in out and "MiB" in out, out)
    check(sorted(os.listdir(dfal.folder)) == before, "--estimate has written something")
    dfal.run("-q", "score", "net.h5", "pool.h5", "-o", "s.h5", "--adversarial", "20")
    told = dfal.json("score", "net.h5", "pool.h5", "--adversarial", "20", "--estimate")["output_bytes"]
    size = os.path.getsize(dfal.at("s.h5"))
    check(0.8 * size < told < 1.25 * size, f"estimated {told} bytes, the file has {size}")
    dfal.refuses(64, "score", "net.h5", "pool.h5", "--estimate", "--range", "5:9000", says="9000")


def peak(dfal, *words):
    process = dfal.start("-q", *words)
    _, err = process.stdout.read(), process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_maxrss / 1024, err


def memory(dfal):
    """A sample takes some MiB. The same bits at every limit, and the process stays within."""
    write_wide(dfal.at("net.h5"), side=64, channels=24, classes=10)
    raw = np.random.default_rng(1).integers(0, 256, (96, 3, 64, 64)).astype(np.uint8)
    write_pool(dfal.at("pool.h5"), raw, np.arange(96) % 10)
    score = ("score", "net.h5", "pool.h5", "--max-iter", "1", "--classes", "2", "--threads", "2")
    code, free, _ = peak(dfal, *score, "-o", "free.h5", "--batch", "24")
    check(code == 0, "without a limit")
    code, _, err = peak(dfal, *score, "-o", "no.h5", "--memory", "20M")
    least = re.search(r"give --memory (\d+)M or more", err)
    check(code == 69 and least and not os.path.exists(dfal.at("no.h5")), f"{code} {err}")
    least = int(least.group(1))
    for limit in (least + 4, least + 40, least + 160):
        code, held, err = peak(dfal, *score, "-o", f"{limit}.h5", "--memory", f"{limit}M")
        check(code == 0 and held <= limit, f"--memory {limit}M: exit code {code}, {held:.0f} MiB held\n{err}")
        same_bits(dfal.at("free.h5"), dfal.at(f"{limit}.h5"))
    code, _, err = peak(dfal, *score, "-o", "b.h5", "--memory", f"{least + 40}M", "--batch", "4096")
    check(code == 69 and "--batch" in err, f"{code} {err}")
    for words in (("eval", "net.h5", "pool.h5"), ("logits", "net.h5", "pool.h5", "-o", "l.h5")):
        code, held, err = peak(dfal, *words, "--memory", f"{least + 20}M")
        check(code == 0 and held <= least + 20, f"{words[0]}: exit code {code}, {held:.0f} MiB held\n{err}")
    with h5py.File(dfal.at("l.h5")) as file:
        check(np.isfinite(file["logits"][()]).all(), "logits within a limit")


def refused_early(dfal):
    """What is held as a whole at the end, or in training, is counted before the work."""
    apart(make_pool, dfal.at("pool.h5"), 20000, 1)
    dfal.run("-q", "train", "--net", "lenet5", "pool.h5", "--subset", "64", "-o", "net.h5", "--epochs", "0", "--memory", "100M")
    score = ("score", "net.h5", "pool.h5", "-o", "s.h5", "--max-iter", "1")
    dfal.refuses(69, *score, "--adversarial", "30000", "--memory", "70M", says=("20000 adversarial images take 62.7 MB", "ask for fewer, or give more --memory"))
    dfal.refuses(69, "train", "--net", "lenet5", "pool.h5", "-o", "t.h5", "--memory", "70M", says=("20000 rows to train on take 62.7 MB", "--subset"))
    check(not glob.glob(dfal.at("s.h5*")) and not glob.glob(dfal.at("t.h5*")), "something was left")
    with_images, without = (dfal.json("score", "net.h5", "pool.h5", "--estimate", *more)["memory_bytes"] for more in (("--adversarial", "1000"), ()))
    check(with_images - without >= 1000 * 28 * 28 * 4 - (4 << 20), f"memory with images {with_images}, without {without}")


def apart(function, *arguments):
    """Call in a process of its own: what this one has held counts in the peaks of its children."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        pool.apply(function, arguments)


def network(dfal):
    """A limit that a network passes is told before the network is read, or before a plan is made."""
    apart(write_broad, dfal.at("net.h5"))
    make_pool(dfal.at("pool.h5"), 16, 1)
    size = os.path.getsize(dfal.at("net.h5")) / 2**20
    for limit, held_most in ((size / 2, 0), (2 * size, 1.2 * size)):
        for words in (("score", "net.h5", "pool.h5", "-o", "s.h5"), ("eval", "net.h5", "pool.h5")):
            code, held, err = peak(dfal, *words, "--memory", f"{limit:.0f}M")
            least = re.search(r"give --memory (\d+)M or more", err)
            check(code == 69 and least and int(least.group(1)) > 3.9 * size, f"{words[0]}: {code} {err}")
            check(held < held_most + 48, f"{words[0]} --memory {limit:.0f}M took {held:.0f} MiB before it refused")


def write_broad(path):
    """A network of 62 MiB of weights."""
    weights = {"a": (20000, 784), "b": (10, 20000)}
    with h5py.File(path, "w") as file:
        file.attrs.update({"format": "dfal-network", "version": 1, "input": [1, 28, 28], "class_count": 10})
        nodes = [{"name": "flat", "op": "Flatten", "inputs": ["input"], "attributes": {}},
                 {"name": "a", "op": "Gemm", "inputs": ["flat"], "attributes": {}},
                 {"name": "relu", "op": "Relu", "inputs": ["a"], "attributes": {}},
                 {"name": "b", "op": "Gemm", "inputs": ["relu"], "attributes": {}}]
        file["graph"] = json.dumps({"nodes": nodes, "output": "b"})
        for name, shape in weights.items():
            file[f"parameters/{name}/weight"] = np.full(shape, 1e-3, np.float32)
            file[f"parameters/{name}/bias"] = np.zeros(shape[0], np.float32)


def write_parts(folder, rows, cut):
    """The rows of s.h5 over and over, with long ids, in two parts of a pool."""
    with h5py.File(os.path.join(folder, "s.h5")) as small:
        for name, begin, end in (("a.h5", 0, cut), ("b.h5", cut, rows)):
            with h5py.File(os.path.join(folder, name), "w") as file:
                file.attrs.update({**small.attrs, "pool_count": rows, "range_begin": begin, "range_end": end})
                for column in set(small) - {"id", "index"}:
                    file[column] = np.resize(small[column][()], end - begin)
                file["index"] = np.arange(begin, end)
                file["id"] = np.array([f"{i:0400d}" for i in range(begin, end)], "S")


def scores(dfal):
    """What info, merge and verify hold does not grow with the rows and ids of a scores file."""
    make_pool(dfal.at("pool.h5"), 64, 1)
    dfal.run("-q", "train", "--net", "lenet5", "pool.h5", "-o", "net.h5", "--epochs", "0")
    dfal.run("-q", "score", "net.h5", "pool.h5", "-o", "s.h5", "--max-iter", "1")
    long_path = "./" * 700 + "pool.h5"  # a fact is told whole, however long it is
    dfal.run("-q", "score", "net.h5", long_path, "-o", "long.h5", "--max-iter", "1")
    check(long_path in dfal.json("info", "long.h5")["command_line"], "info cuts the command line")
    rows, cut = 200000, 120000
    apart(write_parts, dfal.folder, rows, cut)
    for words in (("info", "a.h5"), ("merge", "a.h5", "b.h5", "-o", "m.h5")):
        code, held, err = peak(dfal, *words)
        check(code == 0 and held < 60, f"{words[0]}: exit code {code}, {held:.0f} MiB held\n{err}")
    with h5py.File(dfal.at("m.h5")) as merged, h5py.File(dfal.at("b.h5")) as part:
        check(merged["id"].shape == (rows,) and merged["id"][-1].decode() == part["id"][-1].decode(), "ids")
        for column in ("margin", "status", "index"):
            check((merged[column][cut:] == part[column][()]).all(), column)


if __name__ == "__main__": # a spawned process imports this file
    main({f.__name__: f for f in (estimate, memory, refused_early, network, scores)})
