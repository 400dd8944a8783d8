# SPDX-License-Identifier: Apache-2.0
"""bald, batchbald and qbdc: passes with dropout, whose masks come from a Philox of its own."""
import numpy as np
from scipy.special import softmax

from data import write_linear
from philox import DROPOUT, PASSES, philox, random_bits, ties
from strategies_case import CLASSES, NAN_ROW, ROWS, SIZE, indices, ranked, world
from support import write_pool


def stochastic_passes(x, weight, bias, ratio, passes, seed, shared, plane=1):
    """p [passes, rows, classes]. shared: with masks that are the same for every row; plane: so many
    neighbours are kept or not together."""
    drawn = int(random_bits(seed, PASSES, 0))
    element = np.arange((SIZE if shared else x.size) // plane, dtype=np.uint64)
    p = []
    for t in range(passes):
        words = philox(drawn, DROPOUT, t, element // np.uint64(4))
        word = words[np.arange(len(element)), element % np.uint64(4)]
        kept = np.repeat(word >= int(ratio * 2 ** 32), plane).reshape(-1, SIZE)
        p.append(softmax((x * kept / (1 - ratio)) @ weight.T + bias, 1))
    return np.array(p)


def entropy_terms(q):
    return -np.where(q > 0, q * np.log(np.where(q > 0, q, 1)), 0)


def bald(dfal):
    x, weight, bias = world(2)
    clean = np.nan_to_num(x.astype(np.float64))
    for ratio, passes, seed in ((0.5, 10, 1), (0.75, 3, 77)):
        dfal.write(x, weight, bias, dropout=ratio)
        p = stochastic_passes(clean, weight, bias, ratio, passes, seed, shared=False)
        total = entropy_terms(p.mean(0)).sum(-1)
        score = np.maximum(total - entropy_terms(p).sum(-1).mean(0), 0)
        words = ["--strategy", "bald", "--count", str(ROWS + 50), "--seed", str(seed)]
        if passes != 10:
            words += ["--option", f"passes={passes}"]
        ranked(dfal.select_whatever_the_work(*words), score, f"bald {ratio}")
        part = dfal.select(*words, "--subsample", "50")
        assert len(part) in (49, 50) and all(abs(q["score"] - score[q["index"]]) <= 1e-12 for q in part)
    words = ("--strategy", "bald", "--count", "5")
    dfal.refused([*words, "--option", "pases=5"], 64,
                 "strategy bald: unknown option 'pases': expected passes or power; nearest is 'passes'")
    dfal.refused([*words, "--option", "passes=0"], 64, "passes is 0, expected a whole number from 1")
    dfal.refused([*words, "--option", "passes"], 64, "expected KEY=VALUE")
    dfal.refused([*words, "--scores", "s.h5"], 64, "needs stochastic passes, which s.h5 does not hold")
    dfal.write(x, weight, bias)
    dfal.refused(words, 65, "the network has none")
    dfal.write(x, weight, bias, dropout=0.0)
    dfal.refused(words, 65, "the network has none")


def joint_information(p, rows):
    """I of the rows' labels and the pass, over all answers to all of them."""
    together = np.ones((len(p), 1))
    for row in rows:
        together = (together[:, :, None] * p[:, row, None, :]).reshape(len(p), -1)
    known = sum(entropy_terms(p[:, row]).sum() for row in rows) / len(p)
    return entropy_terms(together.mean(0)).sum() - known


def batchbald(dfal):
    x, weight, bias = world(9)
    clean = np.nan_to_num(x.astype(np.float64))
    left = [row for row in range(ROWS) if row != NAN_ROW]
    cases = ((0.5, 10, 1, 1024, 5), (0.75, 3, 77, 64, 4), (0.5, 1, 2, 1000, 3), (0.5, 10, 3, 300, 8))
    for ratio, passes, seed, most, count in cases:
        dfal.write(x, weight, bias, dropout=ratio)
        p = stochastic_passes(clean, weight, bias, ratio, passes, seed, shared=True)
        tie = ties(seed, ROWS)
        words = ["--strategy", "batchbald", "--count", str(count), "--seed", str(seed), "--option",
                 f"configurations={most}", "--option", f"passes={passes}"]
        found = dfal.select_whatever_the_work(*words)
        chosen, sure = [], 0.0
        for query in found:
            gains = {row: joint_information(p, [*chosen, row]) - sure for row in left if row not in chosen}
            gain, best = gains[query["index"]], max(gains.values())
            allowed = 1e-12 if CLASSES ** len(chosen) <= most else 0.01
            what = f"batchbald {passes} {most}: {query}"
            assert abs(query["score"] - gain) <= allowed, f"{what}, it adds {gain}"
            assert gain >= best - allowed, f"{what}, another row adds {best}"
            chosen.append(query["index"])
            sure += gain
        if passes == 1:
            order = sorted(left, key=lambda row: int(tie[row]))
            assert chosen == order[:count], "batchbald of one pass: nothing is gained"
    assert most < CLASSES ** count, "no answers were drawn"
    words = ("--strategy", "batchbald", "--count", str(ROWS + 50))
    whole = dfal.select(*words, "--option", "configurations=16")
    assert sorted(indices(whole)) == left, "batchbald: not all finite rows came back"
    dfal.refused([*words, "--option", "configurations=0"], 64,
                 "configurations is 0, expected a whole number from 1")
    dfal.refused([*words, "--scores", "s.h5"], 64, "needs stochastic passes, which s.h5 does not hold")
    dfal.refused(["--memory", "60M", *words, "--option", "passes=10000"], 69,
                 "the probabilities of all passes take 4")
    dfal.write(x, weight, bias)
    dfal.refused(words, 65, "the network has none")
    # All features equal, two classes: after the first the order of ties, and each adds less.
    dfal.write(np.ones((30, SIZE), np.float32), weight[:2], np.zeros(2), dropout=0.5)
    p = stochastic_passes(np.ones((30, SIZE)), weight[:2], np.zeros(2), 0.5, 10, 1, shared=True)
    tie = ties(1, 30)
    found = dfal.select(*words[:2], "--count", "6")
    order = sorted(range(30), key=lambda row: int(tie[row]))
    for i, query in enumerate(found):
        gain = joint_information(p, order[:i + 1]) - joint_information(p, order[:i])
        same = query["index"] == order[i] and abs(query["score"] - gain) <= 1e-12
        assert same, f"batchbald of equal rows: {query}, expected {gain}"


def disagreement(p):
    """Of qbdc, p [members, rows, classes]."""
    y = p.sum(0).argmax(-1)
    return (p.max(-1) - np.take_along_axis(p, y[None, :, None], -1)[..., 0]).mean(0)


def qbdc(dfal):
    x, weight, bias = world(23)
    clean = np.nan_to_num(x.astype(np.float64))
    for shape, ratio, members, seed in (((12, 1, 1), 0.5, 5, 1), ((3, 2, 2), 0.5, 5, 9), ((3, 2, 2), 0.75, 2, 4)):
        write_pool(dfal.at("pool.h5"), x.reshape(ROWS, *shape), None, class_count=CLASSES)
        write_linear(dfal.at("net.h5"), weight, bias, list(shape), 0.25)
        masked = stochastic_passes(clean, weight, bias, ratio, members, seed, True, shape[1] * shape[2])
        p = np.concatenate([softmax(clean @ weight.T + bias, 1)[None], masked])
        words = ["--strategy", "qbdc", "--count", str(ROWS + 50), "--seed", str(seed)]
        if (ratio, members) != (0.5, 5):
            words += ["--option", f"ratio={ratio}", "--option", f"members={members}"]
        ranked(dfal.select_whatever_the_work(*words), disagreement(p), f"qbdc {shape} {ratio}", 1e-12)
    words = ("--strategy", "qbdc", "--count", "5")
    dfal.refused([*words, "--option", "ratio=1"], 64, "ratio is 1, expected a number above 0 and below 1")
    dfal.write(x, weight, bias)
    dfal.refused(words, 65, "the network has none")
