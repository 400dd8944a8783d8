# SPDX-License-Identifier: Apache-2.0
"""bald, batchbald and qbdc: passes with dropout, whose masks come from a Philox of its own."""
import numpy as np
from scipy.special import softmax

from data import write_linear
from philox import DROPOUT, PASSES, REFIT, philox, random_bits, ties
from strategies_case import CLASSES, NAN_ROW, ROWS, SIZE, indices, ranked, world
from support import write_pool


def member_masks(ratio, passes, seed, plane=1):
    """[passes, SIZE] of values that every row keeps."""
    drawn, element = int(random_bits(seed, PASSES, 0)), np.arange(SIZE // plane, dtype=np.uint64)
    masks = []
    for t in range(passes):
        words = philox(drawn, DROPOUT, t, element // np.uint64(4))
        word = words[np.arange(len(element)), element % np.uint64(4)]
        masks.append(np.repeat(word >= int(ratio * 2 ** 32), plane))
    return masks


def stochastic_passes(x, weight, bias, ratio, passes, seed, shared, plane=1):
    """p [passes, rows, classes]. shared: with masks that are the same for every row; plane: so many
    neighbours are kept or not together."""
    if shared:
        masks = member_masks(ratio, passes, seed, plane)
        return np.array([softmax((x * mask / (1 - ratio)) @ weight.T + bias, 1) for mask in masks])
    drawn = int(random_bits(seed, PASSES, 0))
    element = np.arange(x.size, dtype=np.uint64)
    p = []
    for t in range(passes):
        words = philox(drawn, DROPOUT, t, element // np.uint64(4))
        word = words[np.arange(len(element)), element % np.uint64(4)]
        kept = (word >= int(ratio * 2 ** 32)).reshape(-1, SIZE)
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


def permutation(n, seed, stream, salt):
    """dfal's: 0..n-1 sorted by random bits."""
    words = philox(seed, stream, salt, np.arange(n))
    bits = words[:, 1] << np.uint64(32) | words[:, 0]
    return np.lexsort((np.arange(n), bits))


def refit(w, b, h, label, trained, kept, allowed, seed, member):
    """The last layer of a member, as host/strategy/refit.h has it."""
    w, b = w.copy(), b.copy()
    v, vb = np.zeros_like(w), np.zeros_like(b)
    wrong_now = lambda: int((np.argmax(h[kept] @ w.T + b, 1) != label[kept]).sum())
    best, least, epoch = (w.copy(), b.copy()), wrong_now(), 0
    for rate in (1e-3, 1e-5):
        waited = done = 0
        while done < 100 and waited < 5:
            if least <= allowed:
                return best, epoch
            order = trained[permutation(len(trained), seed, REFIT, 1 + epoch + 1000 * member)]
            for begin in range(0, len(order), 32):
                rows = order[begin:begin + 32]
                d = softmax(h[rows] @ w.T + b, 1)
                d[np.arange(len(rows)), label[rows]] -= 1
                d /= len(rows)
                g, gb = d.T @ h[rows], d.sum(0)
                v, vb = 0.9 * v + 0.1 * g * g, 0.9 * vb + 0.1 * gb * gb
                w -= rate * g / (np.sqrt(v) + 1e-7)
                b -= rate * gb / (np.sqrt(vb) + 1e-7)
            epoch, done = epoch + 1, done + 1
            wrong = wrong_now()
            waited = 0 if wrong < least else waited + 1
            if wrong < least:
                best, least = (w.copy(), b.copy()), wrong
    return best, epoch


def qbdc_votes(dfal):
    x, weight, bias = world(24)
    clean = np.nan_to_num(x.astype(np.float64))
    random = np.random.default_rng(5)
    fitted = 0
    for count, members, seed in ((0, 3, 1), (1, 3, 2), (60, 3, 1), (90, 4, 7)):
        labelled = np.sort(random.choice([row for row in range(ROWS) if row != NAN_ROW], count, replace=False))
        labels = np.full(ROWS, -1)
        labels[labelled] = random.integers(0, CLASSES, count)
        noise = random.random(count) < 0.7     # the network is right of most
        labels[labelled[noise]] = np.argmax(clean[labelled[noise]] @ weight.T + bias, 1)
        write_pool(dfal.at("pool.h5"), x.reshape(ROWS, 3, 2, 2), labels, class_count=CLASSES)
        write_linear(dfal.at("net.h5"), weight, bias, [3, 2, 2], 0.25)
        order = labelled[permutation(count, seed, REFIT, 0)] if count else labelled
        kept = order[count - (count // 5 or int(count > 1)):]
        allowed = int((np.argmax(clean[kept] @ weight.T + bias, 1) != labels[kept]).sum())
        p, said = [softmax(clean @ weight.T + bias, 1)], []
        masks = member_masks(0.5, members, seed, 4)
        for m in range(members):
            h = clean * masks[m] / 0.5
            (w, b), epochs = (weight, bias), 0
            if count > 1:
                (w, b), epochs = refit(weight, bias, h, labels, order[:count - len(kept)], kept, allowed, seed, m)
            fitted += epochs > 0
            said.append(np.argmax(h @ w.T + b, 1))
            p.append(softmax(h @ w.T + b, 1))
        votes = np.stack([(np.array(said) == k).sum(0) for k in range(CLASSES)])
        score = members - votes.max(0) + disagreement(np.array(p))
        words = ["--strategy", "qbdc", "--option", "variant=A", "--count", str(ROWS), "--seed", str(seed)]
        words += ["--option", f"members={members}"] if members != 3 else []
        found = dfal.select_whatever_the_work(*words)
        open_rows = [row for row in range(ROWS) if row != NAN_ROW and row not in labelled]
        assert sorted(indices(found)) == open_rows, "qbdc A: not all candidates came back"
        for query in found:
            wanted = score[query["index"]]
            assert abs(query["score"] - wanted) <= 1e-9, f"qbdc A of {count} labels: {query}, expected {wanted}"
        assert all(a["score"] >= b["score"] for a, b in zip(found, found[1:])), "qbdc A: the ranks"
    assert fitted > 2, "no member was refitted"
