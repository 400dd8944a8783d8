# SPDX-License-Identifier: Apache-2.0
"""entropy, least-confidence, margin and logit-gap.

The network is the identity, so a sample is its own logits: what is compared is the whole road from a pool of
extreme logits to QUERIES.csv, over a pass on the way, over `dfal logits` and, for logit-gap, over a scores
file."""
import h5py
import numpy as np
from scipy.special import logsumexp, softmax

from strategies_case import indices


def logits(classes, count):
    """Random rows of every temperature, and the extreme ones at fixed places."""
    random = np.random.default_rng(classes)
    f = random.normal(size=(count, classes)) * 10.0 ** random.uniform(-3, 2, (count, 1))
    f[0] = 0                                  # all equal
    f[1] = -1e4                               # the same far down
    f[2], f[2, 0] = -1e4, 1e4                 # one-hot, as far apart as can be
    f[3], f[3, -1] = 0, 1e4
    f[4], f[4, :2] = -1e4, 1e4                # two equal on top
    f[5] = np.linspace(-1e4, 1e4, classes)
    f[6] = 1.6e38 * np.where(np.arange(classes) % 2, 1, -1)
    f[7], f[7, 0] = 0, 40                     # 1 - max p rounds to 0
    f[8], f[8, 0] = 0, 800                    # exp underflows
    f = f.astype(np.float32)
    f[9], f[10] = f[11], f[11]                # ties across rows
    f[12, 0], f[13, -1], f[14, 0] = np.nan, np.inf, -np.inf
    return f


def softmax_scores(f):
    """Per strategy (score, largest first), in double, written so that double does not lose it either."""
    f = f.astype(np.float64)
    top = np.sort(f, 1)[:, ::-1]
    p = softmax(f, 1)
    with np.errstate(invalid="ignore"):
        entropy = logsumexp(f, 1) - (p * f).sum(1)
    rest = np.exp(top[:, 1:] - top[:, :1]).sum(1)
    return {
        "entropy": (entropy, True),
        "least-confidence": (rest / (1 + rest), True),
        "margin": ((1 - np.exp(top[:, 1] - top[:, 0])) / (1 + rest), False),
        "logit-gap": ((top[:, 0] - top[:, 1]), False),
    }


def compare(f, queries, score, largest, what):
    name, finite = what.split()[0], np.isfinite(f).all(1)
    assert len(queries) == finite.sum(), f"{what}: {len(queries)} of {finite.sum()} finite rows came back"
    index = np.array(indices(queries))
    found = np.array([query["score"] for query in queries])
    assert finite[index].all(), f"{what}: rows that are not finite"
    assert len(set(index)) == len(index), f"{what}: rows that came back twice"
    assert np.isfinite(found).all() and (found >= 0).all(), f"{what}: {found}"
    # logsumexp - sum p f cancels against logits of 1e4 and more: there the closed forms below are the test
    scale = np.abs(f[index].astype(np.float64)).max(1) if name == "entropy" else np.ones(len(index))
    allowed = 1e-13 * scale + 1e-6 * (name == "logit-gap") * score[index] + 1e-12 * np.abs(score[index])
    error = np.abs(found - score[index]) / np.maximum(1e-300, allowed)
    worst = int(error.argmax())
    row = index[worst]
    assert error[worst] <= 1, f"{what}: row {row} scores {found[worst]!r}, NumPy says {score[row]!r}"
    order = np.diff(found)
    assert ((order <= 0) if largest else (order >= 0)).all(), f"{what}: the ranks do not follow the scores"
    classes = f.shape[1]
    at = dict(zip(index.tolist(), found.tolist()))
    closed = {"entropy": {0: np.log(classes), 1: np.log(classes), 2: 0.0, 3: 0.0, 4: np.log(2), 8: 0.0},
              "least-confidence": {0: 1 - 1 / classes, 2: 0.0, 3: 0.0, 4: 0.5, 8: 0.0},
              "margin": {0: 0.0, 1: 0.0, 2: 1.0, 4: 0.0},
              "logit-gap": {0: 0.0, 1: 0.0, 2: 20000.0, 3: 10000.0, 4: 0.0, 7: 40.0, 8: 800.0}}[name]
    for row, value in closed.items():
        exact = value in (0.0, 1.0) or name == "logit-gap"
        error = abs(at[row] - value)
        assert error == 0 if exact else error <= 1e-14 * value, f"{what}: row {row}: {at[row]!r}"
    if name == "least-confidence" and 7 in at:
        tiny = (classes - 1) * np.exp(-40.0)
        assert abs(at[7] / (tiny / (1 + tiny)) - 1) < 1e-13, f"{what}: 1 - max p was lost: {at[7]!r}"
    predicted = np.array([query["predicted"] for query in queries])
    assert (predicted == f[index].argmax(1)).all(), f"{what}: predictions"


def of_classes(classes, count):
    """The check of logits of so many classes."""
    def check(dfal):
        f = logits(classes, count)
        dfal.write(f, np.eye(classes), np.zeros(classes))
        dfal.write_logits()
        dfal.write_scores("--classes", "2")
        with h5py.File(dfal.at("l.h5")) as file:
            rows = np.isfinite(f).all(1)
            assert (file["logits"][()][rows] == f[rows]).all(), "the identity network changed the logits"
        for name, (score, largest) in softmax_scores(np.where(np.isfinite(f), f, 0)).items():
            words = ("--strategy", name, "--count", str(count))
            whole = dfal.select(*words)
            compare(f, whole, score, largest, f"{name} {classes} classes {dfal.backend}")
            assert dfal.select(*words, "--logits", "l.h5") == whole, f"{name}: --logits differs"
            if name == "logit-gap":
                assert dfal.select(*words, "--scores", "s.h5") == whole, "--scores differs"

    return check
