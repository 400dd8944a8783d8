#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A strategy for dfal's --strategy-command, to be copied and changed: h5py and numpy, three ways to choose.

    dfal select NET POOL --strategy-command "python3 strategy_numpy.py k-center" --count 10 -o queries.csv
    dfal run run.yaml -o DIR --strategy-command "python3 strategy_numpy.py"

dfal adds --candidates FILE.h5 --count Q --seed S --round R --out IDS.csv.
"""
import argparse
import csv

import h5py
import numpy as np


def entropy(f, h, labelled, count):
    """Largest entropy of the softmax."""
    p = np.exp(f - f.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    score = -(p * np.log(np.maximum(p, 1e-300))).sum(1)
    return np.argsort(-score, kind="stable")[:count], score


def density(f, h, labelled, count):
    """Entropy times how like the other candidates a row is: the mean cosine of its features with theirs."""
    u = h / np.maximum(np.linalg.norm(h, axis=1, keepdims=True), 1e-12)
    score = entropy(f, h, labelled, count)[1] * (u @ u.mean(0))
    return np.argsort(-score, kind="stable")[:count], score


def k_center(f, h, labelled, count):
    """Again and again the row that is farthest from all labelled and chosen rows."""
    nearest, chosen, score = np.full(len(h), np.inf), [], np.zeros(len(h))
    for centre in labelled:
        nearest = np.minimum(nearest, ((h - centre) ** 2).sum(1))
    for _ in range(min(count, len(h))):
        chosen.append(int(nearest.argmax()))
        score[chosen[-1]] = np.sqrt(nearest[chosen[-1]])
        nearest = np.minimum(nearest, ((h - h[chosen[-1]]) ** 2).sum(1))
        nearest[chosen] = -1
    return chosen, score


def main():
    ways = {"density": density, "entropy": entropy, "k-center": k_center}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("way", nargs="?", choices=ways, default="density")
    for name, kind in ("candidates", str), ("count", int), ("seed", int), ("round", int), ("out", str):
        parser.add_argument(f"--{name}", type=kind, required=True)
    args = parser.parse_args()
    with h5py.File(args.candidates, "r") as file:
        ids, f, h, labelled = file["id"].asstr()[()], *(file[name][()].astype(float) for name in ("logits", "features", "labelled/features"))
    fine = np.flatnonzero(np.isfinite(f).all(1) & np.isfinite(h).all(1))  # dfal asks again without a chosen row that is not
    chosen, score = ways[args.way](f[fine], h[fine], labelled[np.isfinite(labelled).all(1)], args.count)
    with open(args.out, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("id", "score"), *((ids[fine[i]], score[i]) for i in chosen)])
    print(f"round {args.round}: {args.way} chose {len(chosen)} of {len(ids)}")


if __name__ == "__main__":
    main()
