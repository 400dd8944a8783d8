#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Training and scoring on the CUDA back end that runs on a CPU (tests/simt): the same bits whatever the order of a GPU's
threads, the batch and the host's threads; and what the reference finds.

SIMT_BACKEND names the shared object, libdfal_simt.so.
"""
import os

import h5py
import numpy as np

from data import make_pool
from own_networks import write_network
from support import check, main, same_bits

BACKEND = "dlopen:" + os.environ.get("SIMT_BACKEND", "")
ORDERS = ("ascending", "descending", "random:3")


def train(dfal):
    """One epoch, every op held against the reference; then the orders against each other."""
    make_pool(dfal.at("train.h5"), 44, 1)
    words = ("train", "--net", "lenet5", "train.h5", "--epochs", "1", "--validation", "0.1")
    dfal.run("-q", "--backend", "check:ref:" + BACKEND, *words, "-o", "checked.h5")
    for number, order in enumerate(ORDERS):
        dfal.run("-q", "--backend", BACKEND, "--threads", 1 + number % 2, *words, "-o", f"{number}.h5",
                 environment={"DF_SIMT_ORDER": order})
        same_bits(dfal.at("0.h5"), dfal.at(f"{number}.h5"))
    with h5py.File(dfal.at("checked.h5")) as a, h5py.File(dfal.at("0.h5")) as b:
        for name in ("conv1", "fc2"):
            near = np.allclose(a[f"parameters/{name}/weight"], b[f"parameters/{name}/weight"], rtol=0, atol=1e-5)
            check(near, f"{name} is trained to something else than on the reference")


def agree(dfal, what, found, expected):
    """The same classes, and margins to rounding, so the same ranking but for near ties. How many steps the way's end takes
    is rounding; without overshoot even whether it gets there (compared where both do)."""
    with h5py.File(dfal.at(found)) as a, h5py.File(dfal.at(expected)) as b:
        both = (a["status"][()] == 0) & (b["status"][()] == 0)
        check(both.all() or "dfal2018" in what or "deepal" in what, f"{what}: a sample's status is not that of the reference")
        for key, where in ("label", slice(None)), ("adversarial_class", both):
            check(np.array_equal(a[key][()][where], b[key][()][where]), f"{what}: {key} differs from the reference")
        margin, wanted = a["margin"][()][both].astype(np.float64), b["margin"][()][both].astype(np.float64)
    close = np.isclose(margin, wanted, rtol=1e-4, atol=1e-6)
    check(both.any() and close.all(), f"{what}: margins {margin[~close]} instead of {wanted[~close]}")
    ranked = wanted[np.argsort(margin, kind="stable")]
    check((ranked[1:] >= ranked[:-1] * (1 - 2e-4)).all(), f"{what}: ranks differently from the reference")


def sweep(dfal, network, cases):
    for case in cases:
        what = " ".join(case) or "score"
        words = ("score", network, "pool.h5", "--force", "--adversarial", "2", *case)
        dfal.run("-q", "--backend", "ref", *words, "-o", "ref.h5")
        for number, (batch, order) in enumerate(zip((12, 5, 1), ORDERS)):
            dfal.run("-q", "--backend", BACKEND, *words, "-o", f"{number}.h5", "--batch", batch,
                     environment={"DF_SIMT_ORDER": order})
            same_bits(dfal.at("0.h5"), dfal.at(f"{number}.h5"))
        agree(dfal, what, "0.h5", "ref.h5")


def prepare(dfal):
    make_pool(dfal.at("train.h5"), 400, 1)
    make_pool(dfal.at("pool.h5"), 12, 2)
    dfal.run("-q", "--backend", "cpu", "train", "--net", "lenet5", "train.h5", "-o", "net.h5", "--epochs", "4")


def presets(dfal):
    prepare(dfal)
    sweep(dfal, "net.h5", [("--deepfool", name) for name in ("lts4", "paper", "dfal2018", "foolbox", "deepal")])


def norms(dfal):
    prepare(dfal)
    sweep(dfal, "net.h5", [("--norm", norm) for norm in ("linf", "l1", "3")] +
          [("--deepfool", "foolbox", "--norm", "linf"), ("--classes", "3")])


def refinement(dfal):
    prepare(dfal)
    sweep(dfal, "net.h5", [("--refine", "bisect"), ("--refine", "bisect", "--deepfool", "foolbox", "--units", "raw")])


def own_network(dfal):
    """Joins, gates, paddings, a depthwise convolution: every op held against the reference, then the bits."""
    make_pool(dfal.at("pool.h5"), 4, 2)
    write_network(dfal.at("own.h5"))
    dfal.run("-q", "--backend", "check:ref:" + BACKEND, "score", "own.h5", "pool.h5", "-o", "checked.h5")
    for number, (batch, order) in enumerate(zip((4, 3), ORDERS)):
        dfal.run("-q", "--backend", BACKEND, "score", "own.h5", "pool.h5", "-o", f"{number}.h5", "--batch", batch,
                 environment={"DF_SIMT_ORDER": order})
    same_bits(dfal.at("0.h5"), dfal.at("1.h5"))


def identity(dfal):
    """A GPU's bits hold for its model: shards of two models are one file with --allow-mixed only, and work that one model
    has begun is not another one's."""
    prepare(dfal)
    words = ("-q", "--backend", BACKEND, "score", "net.h5", "pool.h5", "--force")
    dfal.run(*words, "--range", "0:6", "-o", "a.h5")
    dfal.run(*words, "--range", "6:12", "-o", "b.h5")
    dfal.run("-q", "merge", "a.h5", "b.h5", "-o", "whole.h5")
    with h5py.File(dfal.at("b.h5"), "r+") as file:
        check(file.attrs["isa"] == "sm_90 (SIMT shim)", f"the file's isa is {file.attrs['isa']}")
        file.attrs["isa"] = "sm_90 (another)"
    dfal.refuses(78, "merge", "a.h5", "b.h5", "-o", "mixed.h5", says=("isa", "SIMT shim", "another"))
    dfal.run("-q", "merge", "a.h5", "b.h5", "-o", "mixed.h5", "--allow-mixed")
    with h5py.File(dfal.at("mixed.h5")) as file:
        check(file.attrs["mixed"] == "isa: sm_90 (another), sm_90 (SIMT shim)", f"mixed is {file.attrs['mixed']}")
    dfal.run("-q", "verify", "whole.h5", "--samples", "4")


def large_pool(dfal):
    """Slots that are refilled many times."""
    make_pool(dfal.at("train.h5"), 400, 1)
    make_pool(dfal.at("pool.h5"), 90, 3)
    dfal.run("-q", "--backend", "cpu", "train", "--net", "lenet5", "train.h5", "-o", "net.h5", "--epochs", "4")
    sweep(dfal, "net.h5", [()])


main({f.__name__: f for f in (train, presets, norms, refinement, own_network, identity, large_pool)})
