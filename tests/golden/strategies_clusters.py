# SPDX-License-Identifier: Apache-2.0
"""typiclust and cluster-margin: k-means and average linkage of features, every distance looked at."""
import numpy as np

from philox import KMEANS, ties, uniform
from strategies_case import CLASSES, NAN_ROW, ROWS, SIZE, TWIN_ROWS, in_order, logits_of, world
from strategies_distances import distances
from strategies_softmax import softmax_scores


def k_means(x, clusters, seed):
    """Which cluster each row is in, and how many there are: k-means++, then Lloyd with centres in float32."""
    square = lambda c: ((x - c.astype(np.float64)) ** 2).sum(1)
    drawn = lambda k: uniform(seed, KMEANS, k)
    centres = [x[int(drawn(0) * len(x))].astype(np.float32)]
    near = square(centres[0])
    while len(centres) < clusters:
        total = np.cumsum(near)
        if total[-1] == 0:
            break
        centres.append(x[np.searchsorted(total, drawn(len(centres)) * total[-1], "right")].astype(np.float32))
        near = np.minimum(near, square(centres[-1]))
    for _ in range(100):
        cluster = np.argmin([square(c) for c in centres], 0)
        moved = [x[cluster == k].mean(0).astype(np.float32) if (cluster == k).any() else c
                 for k, c in enumerate(centres)]
        if all((a == b).all() for a, b in zip(moved, centres)):
            break
        centres = moved
    return cluster, len(centres)


def most_typical(h, candidates, labelled, count, most, tie, seed):
    rows = np.array([row for row in [*candidates, *labelled] if np.isfinite(h[row]).all()], int)
    taken = np.isin(rows, labelled)
    cluster, clusters = k_means(h[rows], min(int(taken.sum()) + count, most), seed)
    score, far = np.zeros(len(rows)), distances(h[rows])
    for i in range(len(rows)):
        others = (cluster == cluster[i]) & (np.arange(len(rows)) != i)
        near = np.sort(far[i, others])[:20]
        with np.errstate(divide="ignore"):
            score[i] = 1 / near.mean() if len(near) else 0
    chosen = []
    while len(chosen) < count and not taken.all():
        members = [np.flatnonzero(cluster == k) for k in range(clusters)]
        left = (k for k in range(clusters) if not taken[members[k]].all())
        k = min(left, key=lambda k: (taken[members[k]].sum(), -len(members[k]), k))
        i = min(members[k][~taken[members[k]]], key=lambda i: (-score[i], int(tie[rows[i]])))
        taken[i] = True
        chosen.append((rows[i], score[i]))
    return chosen


def typiclust(dfal):
    x, weight, _ = world(7)
    x[45], weight[:, 0] = 0, [1, 2, 0, 1]
    x[45, 0] = 3e38                             # finite, but one of its logits is not
    x[46] = np.nan                              # labelled below
    bias = np.zeros(CLASSES)
    f = logits_of(x, weight, bias)
    seed, tie = 5, ties(5, ROWS)
    usable = [row for row in range(ROWS) if row not in (NAN_ROW, 45)]
    for labelled in ([], [5], [46, *TWIN_ROWS[:1], *range(100, 120)]):
        dfal.write(x, weight, bias, labelled)
        left, finite = [row for row in usable if row not in labelled], [row for row in labelled if row != 46]
        for count, most in ((1, 500), (12, 500), (40, 6), (ROWS + 50, 500)):
            words = ["--strategy", "typiclust", "--count", str(count), "--seed", str(seed)]
            words += ["--option", "node=fc"]
            if most != 500:
                words += ["--option", f"clusters={most}"]
            wanted = most_typical(f, left, finite, min(count, ROWS - len(labelled)), most, tie, seed)
            found = dfal.select_whatever_the_work(*words)
            in_order(found, wanted, f"typiclust {labelled[:2]} {count} {most}")
    # The features that nobody named; row 45 is chosen or not by its logits, so it is taken out.
    x[45, 0] = 1
    dfal.write(x, weight, bias)
    left = [row for row in range(ROWS) if row not in (NAN_ROW, 46)]
    wanted = most_typical(x.astype(np.float64), left, [], 9, 500, tie, seed)
    in_order(dfal.select("--strategy", "typiclust", "--count", "9", "--seed", str(seed)), wanted,
             "typiclust of the last layer")
    words = ("--strategy", "typiclust", "--count", "5")
    dfal.refused([*words, "--option", "node=fx"], 64, "strategy typiclust: unknown node 'fx'")
    dfal.refused([*words, "--option", "clusters=0"], 64, "clusters is 0, expected a whole number from 1")
    dfal.refused([*words, "--logits", "l.h5"], 64, "needs features, which l.h5 does not hold")
    # All features equal, two classes: one cluster, whose rows are infinitely typical, in the order of ties.
    dfal.write(np.ones((30, 2), np.float32), np.eye(2), np.zeros(2))
    tie = ties(1, 30)
    wanted = [(row, np.inf) for row in sorted(range(30), key=lambda row: int(tie[row]))]
    in_order(dfal.select("--strategy", "typiclust", "--count", "50"), wanted, "typiclust of equal rows")


def average_linkage(h, clusters):
    """Merge the two clusters of smallest mean distance until so many are left; equal rows anyway."""
    sums = distances(h)
    members = {i: [i] for i in range(len(h))}
    while len(members) > 1:
        keys = list(members)
        sizes = np.array([len(members[k]) for k in keys], float)
        mean = sums[np.ix_(keys, keys)] / np.outer(sizes, sizes)
        np.fill_diagonal(mean, np.inf)
        a, b = divmod(int(mean.argmin()), len(keys))
        if len(keys) <= clusters and mean[a, b] > 0:
            break
        a, b = keys[a], keys[b]
        sums[a] += sums[b]
        sums[:, a] += sums[:, b]
        members[a] += members.pop(b)
    return list(members.values())


def in_turns(h, margin, candidates, count, tie):
    ranked = sorted((row for row in candidates if np.isfinite(h[row]).all() and np.isfinite(margin[row])),
                    key=lambda row: (margin[row], int(tie[row])))[:10 * count]
    clusters = [sorted(members) for members in average_linkage(h[ranked], count)]
    turns = sorted(clusters, key=lambda members: (len(members), members[0]))
    chosen = [members[turn] for turn in range(len(ranked)) for members in turns if turn < len(members)]
    return [(ranked[i], margin[ranked[i]]) for i in chosen[:count]]


def cluster_margin(dfal):
    random = np.random.default_rng(8)
    _, weight, _ = world(8)
    # Fine enough that no two distances are equal.
    x = (random.integers(-8192, 8193, (ROWS, SIZE)) / 4096).astype(np.float32)
    x[TWIN_ROWS[1]] = x[TWIN_ROWS[2]] = x[TWIN_ROWS[0]]
    x[40:44] = 0
    x[NAN_ROW, 3] = np.nan
    weight[:, 0] = [1, 2, 0, 1]
    x[45], x[45, 0] = 0, 3e38                   # finite, but one of its logits is not
    bias, tie = np.zeros(CLASSES), ties(1, ROWS)
    f = logits_of(x, weight, bias)
    with np.errstate(over="ignore", invalid="ignore"):
        margin = np.where(np.isfinite(f).all(1), softmax_scores(f)["margin"][0], np.nan)
    for labelled in ([], [5], list(range(100, 120))):
        dfal.write(x, weight, bias, labelled)
        left = [row for row in range(ROWS) if row not in labelled]
        for node, count in ((None, 1), ("fc", 7), (None, 15), (None, 30), (None, ROWS + 50)):
            h = f if node else x.astype(np.float64)
            words = ["--strategy", "cluster-margin", "--count", str(count)]
            words += ["--option", f"node={node}"] if node else []
            wanted = in_turns(h, margin, left, count, tie)
            in_order(dfal.select_whatever_the_work(*words), wanted, f"cluster-margin {labelled[:2]} {count}")
    dfal.write_logits()
    in_order(dfal.select(*words, "--logits", "l.h5"), wanted, "cluster-margin of a logits file")
    words = ("--strategy", "cluster-margin", "--count", "5001")
    dfal.refused([*words, "--option", "node=fx"], 64, "strategy cluster-margin: unknown node 'fx'")
    dfal.refused([*words, "--scores", "s.h5"], 64, "needs logits, which s.h5 does not hold")
    # All features equal, two classes: one cluster, in the order of ties. More than it clusters: refused.
    dfal.write(np.ones((30, 2), np.float32), np.eye(2), np.zeros(2))
    wanted = [(row, 0.0) for row in sorted(range(30), key=lambda row: int(tie[row]))]
    in_order(dfal.select(*words), wanted, "cluster-margin of equal rows")
    dfal.write(np.ones((5001, 2), np.float32), np.eye(2), np.zeros(2))
    dfal.refused(words, 64, "chooses among 5000 candidates, 5001 are asked for: expected at most 5000")
