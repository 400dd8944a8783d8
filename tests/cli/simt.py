#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Training and scoring on the CUDA back end that runs on a CPU (tests/simt): the same bits whatever the order of a GPU's
threads, the batch and the host's threads; and what the reference finds.

SIMT_BACKEND names the shared object, libdfal_simt.so.
"""
import csv
import os
import time

import h5py
import numpy as np

from data import digits, make_pool, write_linear, write_small
from own_networks import write_network
from support import check, main, same_bits, write_pool

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
    sweep(dfal, "net.h5", [("--deepfool", name) for name in ("lts4", "paper", "dfal2018", "foolbox", "deepal")] +
          [("--deepfool", "sdf", "--range", "0:3")])  # fifty rounds a sample


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


def tables(dfal, folder):
    """queries.csv and curve.csv as rows, the seconds left out."""
    found = []
    for name in ("queries.csv", "curve.csv"):
        with open(dfal.at(f"{folder}/{name}"), encoding="utf-8", newline="") as file:
            found += [[(k, v) for k, v in row.items() if not k.endswith("_seconds")] for row in csv.DictReader(file)]
    return found


def experiment(dfal):
    """A run's margins come from the fused engine, where the device has one: the same rows as layer by layer, named in the
    run's identity, and a run that was stopped goes on with it alone."""
    for name, count, seed in (("train.h5", 60, 1), ("test.h5", 20, 2)):
        samples, labels = digits(count, seed)
        write_pool(dfal.at(name), samples[:, :, ::2, ::2], labels)
    write_small(dfal.at("small.h5"))
    with open(dfal.at("run.yaml"), "w", encoding="utf-8") as file:
        file.write("data: {train: train.h5, test: test.h5}\nnetwork: ./small.h5\nstrategies: [dfal]\ninitial: 16\n"
                   "query: 4\nannotations: 36\ntrials: 1\ntraining: {restarts: 1, epochs: 3, validation: 0}\n")
    line = ("--backend", BACKEND, "run", "run.yaml", "-o")
    dfal.run("-q", *line, "fused")
    dfal.run("-q", "--backend", "check:ref:" + BACKEND, "run", "run.yaml", "-o", "layers")
    for name in ("fused", "layers"):
        with open(dfal.at(f"{name}/state/identity"), encoding="utf-8") as file:
            check(f"engine: {name}\n" in file.read(), f"{name}/state/identity names another engine")
    rows = [[[v for k, v in row if k in ("round", "rank", "index", "label")] for row in tables(dfal, name)]
            for name in ("fused", "layers")]
    check(rows[0] == rows[1] and len(rows[0]) > 20, f"fused chooses {rows[0]}, layers {rows[1]}")

    process = dfal.start("-q", *line, "again")
    curve = dfal.at("again/curve.csv")
    while process.poll() is None and not (os.path.exists(curve) and len(open(curve, encoding="utf-8").readlines()) > 2):
        time.sleep(0.01)
    process.terminate()
    process.communicate(timeout=120)
    check(process.returncode == 75, f"a run that was stopped ended with {process.returncode}")
    with open(dfal.at("again/state/identity"), "r+", encoding="utf-8") as file:
        text = file.read()
        file.seek(0)
        file.write(text.replace("engine: fused", "engine: layer"))
    dfal.refuses(78, *line, "again", says=("engine", "fused"))
    with open(dfal.at("again/state/identity"), "w", encoding="utf-8") as file:
        file.write(text)
    dfal.run("-q", *line, "again")
    check(tables(dfal, "again") == tables(dfal, "fused"), "the run that was stopped has another result")


def estimate(dfal):
    """A wide device is timed with more rows than make it ready, up to all."""
    random = np.random.default_rng(2)
    write_pool(dfal.at("pool.h5"), random.integers(0, 256, (700, 1, 2, 2)).astype(np.uint8), class_count=3)
    write_linear(dfal.at("net.h5"), random.normal(size=(3, 4)), np.zeros(3), (1, 2, 2))
    for words, samples in ((), 700), (("--range", "100:300"), 200):
        said = dfal.json("--backend", BACKEND, "score", "net.h5", "pool.h5", "--estimate", *words)
        timed, seconds = said["timed_samples"], said["timed_seconds"]
        check(timed == samples or (timed == 512 and seconds >= 0.3), f"estimate: {said}")
        check(said["samples"] == samples and np.isclose(said["seconds"], seconds * samples / timed), f"estimate: {said}")


def doctor(dfal):
    """What was asked for works: 0."""
    out, err = dfal.run("-q", "--backend", BACKEND, "doctor")
    check("backend_cpu" in out and err == "", f"doctor says {err}")


def select(dfal):
    """Queries and twins of the fused engine are those of the layers'."""
    samples, labels = digits(60, 3)
    write_pool(dfal.at("pool.h5"), samples[:, :, ::2, ::2])
    write_small(dfal.at("small.h5"))
    words = ("select", "small.h5", "pool.h5", "--strategy", "dfal", "--count", "9")
    found = []
    for name, backend in (("fused", BACKEND), ("layers", "check:ref:" + BACKEND)):
        dfal.run("-q", "--backend", backend, *words, "-o", name + ".csv", "--twins", name + ".h5")
        with open(dfal.at(name + ".csv"), encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        with h5py.File(dfal.at(name + ".h5")) as file:
            found.append(([(row["index"], row["adversarial_class"]) for row in rows], file["samples"][()]))
    check(len(found[0][0]) == 9 and found[0][0] == found[1][0], f"fused chooses {found[0][0]}, layers {found[1][0]}")
    check(np.allclose(found[0][1], found[1][1], rtol=0, atol=1e-4), "the twins differ")


def large_pool(dfal):
    """Slots that are refilled many times."""
    make_pool(dfal.at("train.h5"), 400, 1)
    make_pool(dfal.at("pool.h5"), 90, 3)
    dfal.run("-q", "--backend", "cpu", "train", "--net", "lenet5", "train.h5", "-o", "net.h5", "--epochs", "4")
    sweep(dfal, "net.h5", [()])


def precision(dfal):
    """Half precision of the Jacobian: near strict's margins with strict's logits, another arithmetic, and none on the cpu. Split
    precision: nearer. A fused network has strict's bits."""
    prepare(dfal)
    for kind in "fast", "split":
        dfal.refuses(69, "--backend", "cpu", "score", "net.h5", "pool.h5", "-o", "none.h5", "--precision", kind,
                     says=f"back end 'cpu' has no {kind} precision: use --precision strict")
    dfal.refuses(64, "--backend", BACKEND, "score", "net.h5", "pool.h5", "-o", "none.h5", "--precision", "split", "--closest", "2",
                 says="expected --precision strict or fast")
    check(not any(name.startswith("none.h5") for name in os.listdir(dfal.folder)), "a refused score left files")
    scores = {}
    for engine in "layers", "fused":
        for kind in "strict", "fast", "split":
            out = f"{engine}-{kind}.h5"
            dfal.run("-q", "--backend", BACKEND, "score", "net.h5", "pool.h5", "-o", out, "--engine", engine,
                     "--precision", kind)
            with h5py.File(dfal.at(out)) as file:
                check(file.attrs["precision"] in (kind, kind.encode()), f"{out}: precision {file.attrs['precision']}")
                scores[engine, kind] = {key: file[key][()] for key in ("status", "margin", "first_margin", "logit_gap")}
    strict, fast, split = (scores["layers", kind] for kind in ("strict", "fast", "split"))
    check(np.array_equal(strict["logit_gap"], fast["logit_gap"]), "precision fast has other logits than strict")
    check(np.array_equal(strict["status"], fast["status"]), "precision fast has other statuses than strict")
    error = np.abs(fast["margin"] / strict["margin"] - 1)
    check(0 < error.max() < 2e-3, f"precision fast is {error.max()} from strict")
    check(np.array_equal(strict["status"], split["status"]), "precision split has other statuses than strict")
    error = np.abs(split["margin"] / strict["margin"] - 1)
    check(0 < error.max() < 1e-4, f"precision split is {error.max()} from strict")
    for kind in "fast", "split":
        check(np.array_equal(scores["fused", "strict"]["margin"], scores["fused", kind]["margin"]),
              f"a fused network in precision {kind} has other bits than in strict")
    half = ("--backend", BACKEND, "score", "net.h5", "pool.h5", "--engine", "layers")
    dfal.run("-q", *half, "--precision", "fast", "--range", "0:6", "-o", "a.h5")
    dfal.run("-q", *half, "--precision", "strict", "--range", "6:12", "-o", "b.h5")
    dfal.refuses(78, "merge", "a.h5", "b.h5", "-o", "both.h5", says="precision")


def bench(dfal):
    """Every op of a score and of a training, timed where each is one call of a wide device."""
    document = dfal.json("bench", "ops", "lenet5", "--samples", "4", "--repeat", "1", "--backend", BACKEND)
    for job, op in ("score", "deepfool_step"), ("train", "batch_take"), ("train", "adam_step"):
        found = [row for row in document[0]["ops"] if row["job"] == job and row["op"] == op]
        check(len(found) == 1 and found[0]["calls"] > 0 and found[0]["seconds"] > 0, f"bench ops: {job} {op}: {found}")


main({f.__name__: f for f in (bench, train, presets, norms, refinement, own_network, identity, estimate, doctor,
                              experiment, select, large_pool, precision)})
