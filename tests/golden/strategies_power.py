# SPDX-License-Identifier: Apache-2.0
"""The option power: Gumbel noise of (seed, row) on the logarithm of a score that is known without."""
import numpy as np

from philox import POWER, ties, uniform
from strategies_case import ROWS, indices, score_by_row, world

LARGEST, SMALLEST = -1, 1
RANKED_BY = {"entropy": LARGEST, "least-confidence": LARGEST, "margin": SMALLEST, "logit-gap": SMALLEST,
             "egl-last": LARGEST, "egl": LARGEST, "bald": LARGEST, "nearest-other": SMALLEST,
             "dfal": SMALLEST}


def gumbel(seed, count):
    with np.errstate(divide="ignore"):
        return -np.log(-np.log1p(-uniform(seed, POWER, np.arange(count))))


def power(dfal):
    x, weight, bias = world(9)
    x[50:54] = 0                                # ties of logits: the margin is 0
    dfal.write(x, weight / 4, 0 * bias, dropout=0.5)
    tie, noise = ties(3, ROWS), gumbel(3, ROWS)
    words = ["--count", str(ROWS), "--seed", "3"]
    for name, sign in RANKED_BY.items():
        plain = dfal.select("--strategy", name, *words)
        at = score_by_row(plain)
        for beta in ("1", "0.5", "4"):
            with np.errstate(divide="ignore"):
                key = {row: sign * np.log(score) - noise[row] / float(beta) for row, score in at.items()}
            wanted = sorted(at, key=lambda row: (key[row], int(tie[row])))
            line = ["--strategy", name, *words, "--option", f"power={beta}"]
            is_varied = name in ("entropy", "dfal") and beta == "1"
            found = (dfal.select_whatever_the_work if is_varied else dfal.select)(*line)
            assert indices(found) == wanted, f"{name} power {beta}: other rows"
            assert all(q["score"] == at[q["index"]] for q in found), f"{name} power {beta}: other scores"
            assert wanted != indices(plain), f"{name} power {beta}: no noise"
    few = dfal.select(*line[:2], "--count", "7", *line[4:])
    assert indices(few) == wanted[:7], "power: the first seven are others"
    # The chance of the first goes with the power of the score.
    first = [np.argmax(np.log([1.0, 2, 5]) * 2 + gumbel(seed, 3)) for seed in range(1500)]
    share = np.bincount(first, minlength=3) / 1500
    assert np.abs(share - np.array([1, 4, 25]) / 30).max() < 0.03, "power: chances"
    for wrong in ("0", "-1", "nan", "much"):
        dfal.refused(["--strategy", "margin", "--count", "3", "--option", f"power={wrong}"], 64,
                     f"power is {wrong}, expected")
    dfal.refused(["--strategy", "random", "--count", "3", "--option", "power=1"], 64, "strategy random: ")
