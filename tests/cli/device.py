#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A device that gives up: 75 with finished work kept, 69 without, and the same line continues to the same bits.

LOST_BACKEND names the shared object of tests/plugin.c that refuses every call after the first PLANT_LOSS_AFTER.
"""
import os
import shutil

import numpy as np

from data import make_pool, write_linear
from support import check, main, same_bits, same_runs, write_pool

BACKEND = ("--backend", "dlopen:" + os.environ.get("LOST_BACKEND", ""), "--threads", "2")


def survive(dfal, words, out, compare):
    """Lose the device later and later: first nothing is left, then work is kept and continued."""
    whole = "whole-" + out
    dfal.run("-q", *BACKEND, *words, "-o", whole)
    after, codes = 4, []
    while True:
        process = dfal.start("-q", *BACKEND, *words, "-o", out, environment={"PLANT_LOSS_AFTER": str(after)})
        _, err = process.communicate(timeout=120)
        err, code = err.decode(), process.returncode
        codes.append(code)
        if code == 0:
            break
        kept = os.path.exists(dfal.at(out + ".parts")) or os.path.isdir(dfal.at(out))
        check("the device was lost" in err, f"{words[0]} after {after} calls: {err}")
        check(code == (75 if kept else 69), f"{words[0]} after {after} calls: exit code {code}, work kept: {kept}")
        if kept:
            dfal.run("-q", *BACKEND, *words, "-o", out)
            compare(dfal.at(whole), dfal.at(out))
            (shutil.rmtree if os.path.isdir(dfal.at(out)) else os.remove)(dfal.at(out))
        left = [name for name in os.listdir(dfal.folder) if ".tmp." in name or name in (out, out + ".parts")]
        check(not left, f"{words[0]} left {left}")
        after *= 2
    check(codes == sorted(codes[:-1]) + [0] and {69, 75} <= set(codes), f"{words[0]}: exit codes {codes}")


def train(dfal):
    make_pool(dfal.at("pool.h5"), 96, 1)
    random = np.random.default_rng(1)
    write_linear(dfal.at("linear.h5"), random.normal(size=(10, 784)), np.zeros(10), (1, 28, 28))
    survive(dfal, ["train", "--net", "linear.h5", "pool.h5", "--epochs", "6"], "net.h5", same_bits)


def score(dfal):
    random = np.random.default_rng(2)
    write_pool(dfal.at("pool.h5"), random.integers(0, 256, (40000, 1, 2, 2)).astype(np.uint8), class_count=3)
    write_linear(dfal.at("net.h5"), random.normal(size=(3, 4)), np.zeros(3), (1, 2, 2))
    survive(dfal, ["score", "net.h5", "pool.h5", "--max-iter", "2"], "s.h5", same_bits)


def run(dfal):
    make_pool(dfal.at("train.h5"), 100, 1)
    make_pool(dfal.at("test.h5"), 40, 2)
    random = np.random.default_rng(1)
    write_linear(dfal.at("linear.h5"), random.normal(size=(10, 784)), np.zeros(10), (1, 28, 28))
    with open(dfal.at("run.yaml"), "w", encoding="utf-8") as file:
        file.write("data: {train: train.h5, test: test.h5}\nnetwork: ./linear.h5\nstrategies: [random, entropy]\ninitial: 20\n"
                   "query: 10\nannotations: 40\ntrials: 2\ntraining: {restarts: 1, epochs: 2, validation: 0}\n")
    survive(dfal, ["run", "run.yaml"], "d", same_runs)


main({f.__name__: f for f in (train, score, run)})
