# SPDX-License-Identifier: Apache-2.0
"""coreset-greedy, coreset and nearest-other: distances of features, every pair looked at."""
import itertools
import json

import numpy as np

from philox import ties
from strategies_case import (CLASSES, NAN_ROW, ROWS, TWIN_ROWS, in_order, indices, is_near, logits_of,
                             score_of, world)


def distances(h):
    """Of all pairs of rows."""
    return np.sqrt(((h[:, None, :] - h[None, :, :]) ** 2).sum(-1))


def farthest_first(h, centres, candidates, count, tie):
    """Again and again the row that is farthest from all centres; ties by the lowest random number."""
    far = distances(h)
    chosen, centres, left = [], list(centres), list(candidates)
    while left and len(chosen) < count:
        nearest = far[:, centres].min(1) if centres else np.full(len(h), np.inf)
        row = min(left, key=lambda i: (-nearest[i], int(tie[i])))
        chosen.append((row, nearest[row]))
        centres.append(row)
        left.remove(row)
    return chosen


def coreset_greedy(dfal):
    x, weight, bias = world(3)
    tie = ties(1, ROWS)
    samples = x.astype(np.float64)
    features = {None: samples, "fc": samples @ weight.T + bias, "input": samples}
    finite = [row for row in range(ROWS) if row != NAN_ROW]
    for node, h in features.items():
        for centres in ([], [5], [*TWIN_ROWS[:1], *range(100, 120)]):
            dfal.write(x, weight, bias, centres)
            words = ["--strategy", "coreset-greedy", *(["--option", f"node={node}"] if node else [])]
            left = [row for row in finite if row not in centres]
            for count in (1, ROWS) if node is None else (25,):
                wanted = farthest_first(h, centres, left, count, tie)
                select = dfal.select_whatever_the_work if count == ROWS else dfal.select
                found = select(*words, "--count", str(count))
                in_order(found, wanted, f"coreset-greedy {node} {len(centres)} {count}")
    words = ("--strategy", "coreset-greedy", "--count", "5")
    dfal.refused([*words, "--option", "node=fx"], 64, "strategy coreset-greedy: unknown node 'fx'")
    dfal.refused([*words, "--logits", "l.h5"], 64, "needs features, which l.h5 does not hold")


def record_of(dfal, words):
    """The queries, and the event that tells how the set was found."""
    out, err = dfal.run("--json", "--log-format", "json", *dfal.line("q.csv"), *words)
    events = [json.loads(line) for line in err.splitlines()]
    return json.loads(out), next(event for event in events if event["event"] == "select.coreset")


def radius(far, candidates, centres, outliers):
    """The largest distance of a candidate to its nearest centre, but for so many outliers."""
    nearest = far[np.ix_(candidates, centres)].min(1) if len(centres) else np.full(len(candidates), np.inf)
    return np.sort(nearest)[::-1][outliers] if outliers < len(candidates) else 0.0


def smallest_radius(far, candidates, labelled, count, outliers):
    """By looking at every set."""
    sets = itertools.combinations(candidates, count)
    return min(radius(far, candidates, [*labelled, *chosen], outliers) for chosen in sets)


def check_set(found, record, far, candidates, labelled, best, what):
    """The set is as good as the record says, which is as good as can be; its order is the greedy choice's."""
    rows, outliers = indices(found), record["outliers"]
    reached = radius(far, candidates, [*labelled, *rows], outliers)
    told = record["radius"]
    assert abs(told - reached) <= 1e-8 * reached, f"{what}: the record says {told}, it is {reached}"
    assert reached >= best - 1e-9 and record["greedy_radius"] >= told, f"{what}: {reached}, expected {best}"
    if record["proven"] == "yes":
        assert abs(reached - best) <= 1e-9, f"{what}: {reached} is called proven, the best is {best}"
    else:
        why = (record["level"], record["solver"], record["reason"])
        assert why == ("warning", "none", "solver"), f"{what}: {record}"
    for k, query in enumerate(found):
        near = far[:, [*labelled, *rows[:k]]].min(1) if labelled or k else np.full(len(far), np.inf)
        expected = near[rows[k]]
        assert expected == near[rows[k:]].max(), f"{what}: another one is farther than rank {k + 1}"
        assert is_near(score_of(query), expected, 1e-9), f"{what}: {query}, expected {expected}"


def coreset(dfal):
    x, weight, bias = world(3)
    h = x.astype(np.float64)
    far = distances(h)
    seen = set()
    for labelled in ([], [5], [*TWIN_ROWS[:1], *range(100, 120)]):
        dfal.write(x, weight, bias, labelled)
        part = ["--strategy", "coreset", "--subsample", "12"]
        every = [*part, "--count", "12"]
        found, record = record_of(dfal, every)
        candidates = sorted(indices(found))
        assert len(candidates) in (11, 12) and record["radius"] == 0, f"coreset of all: {record}"
        for count, outliers in ((1, 0), (2, 0), (3, 0), (2, 1), (3, 2), (1, 11)):
            best = smallest_radius(far, candidates, labelled, count, outliers)
            for words in (["program=covering"], ["program=sener"], ["solver=none"]):
                words = [*part, "--count", str(count), "--option", f"outliers={outliers}", "--option", *words]
                found, record = record_of(dfal, words)
                what = f"coreset {len(labelled)} {words[3:]}"
                assert len(found) == count, f"{what}: {found}"
                assert record["labelled"] == len(labelled), f"{what}: {record}"
                check_set(found, record, far, candidates, labelled, best, what)
                seen.add((record["solver"].split()[0], record["proven"]))
    dfal.select_whatever_the_work("--strategy", "coreset", "--count", "9")
    assert ("none", "no") in seen, f"coreset: nothing is told of a missing solver: {seen}"
    words = ("--strategy", "coreset", "--count", "5")
    dfal.refused([*words, "--option", "program=senr"], 64,
                 "unknown program 'senr': expected covering or sener")
    dfal.refused([*words, "--option", "outliers=-1"], 64, "outliers is -1, expected a whole number")
    dfal.refused([*words, "--option", "solver=no-such-solver"], 69,
                 "the solver no-such-solver cannot be started: No such file or directory")
    dfal.refused([*words, "--solver", "a {model}"], 64, "{model} goes but not where {solution} does")
    dfal.refused(["--strategy", "random", "--count", "5", "--solver", "cbc"], 64, "strategy random: ")
    dfal.refused([*words, "--option", "node=fx"], 64, "strategy coreset: unknown node 'fx'")
    x[1:] = x[0]
    dfal.write(x, weight, bias)
    _, record = record_of(dfal, words)
    told = (record["radius"], record["proven"], record["models"])
    assert told == (0, "yes", 0), f"coreset of one point: {record}"


def nearest_of_another(h, f, candidates, labelled):
    """Distance of each candidate to the nearest finite row that is predicted to be something else."""
    finite = np.isfinite(h).all(1) & np.isfinite(f).all(1)
    usable = np.array([row for row in [*candidates, *labelled] if finite[row]], int)
    with np.errstate(over="ignore", invalid="ignore"):
        far, said = distances(h), f.argmax(1)
    score = {}
    for row in set(candidates) & set(usable.tolist()):
        score[row] = far[row, usable[said[usable] != said[row]]].min(initial=np.inf)
    return score


def by_rank(queries, score, tie, what):
    """All of them, by the smallest score and then the lowest random number."""
    order = sorted(score, key=lambda row: (score[row], int(tie[row])))
    in_order(queries, [(row, score[row]) for row in order], what)


def nearest_other(dfal):
    x, weight, _ = world(4)
    x[40:44] = 0                                # all logits equal: class 0
    bias = np.zeros(CLASSES)
    x[45], weight[:, 0] = 0, [1, 2, 0, 1]
    x[45, 0] = 3e38                             # features are finite, a logit is not
    x[46] = np.nan                              # labelled below
    tie = ties(1, ROWS)
    samples, f = x.astype(np.float64), logits_of(x, weight, bias)
    for node, h in {None: samples, "fc": f, "input": samples}.items():
        for labelled in ([], [5, 46], [41, 46, *TWIN_ROWS[:1], *range(100, 120)]):
            dfal.write(x, weight, bias, labelled)
            candidates = [row for row in range(ROWS) if row not in labelled]
            words = ["--strategy", "nearest-other", "--count", str(ROWS + 50)]
            words += ["--option", f"node={node}"] if node else []
            what = f"nearest-other {node} {len(labelled)}"
            whole = dfal.select_whatever_the_work(*words)
            by_rank(whole, nearest_of_another(h, f, candidates, labelled), tie, what)
            few = dfal.select(*words, "--count", "7")
            assert indices(few) == indices(whole[:7]), f"{what}: the first seven are others"
            dfal.write_logits()
            assert dfal.select(*words, "--logits", "l.h5") == whole, f"{what}: --logits differs"
            part = dfal.select(*words, "--subsample", "50")
            by_rank(part, nearest_of_another(h, f, indices(part), labelled), tie, f"{what} of 50")
    words = ("--strategy", "nearest-other", "--count", "5")
    dfal.refused([*words, "--option", "node=fx"], 64, "strategy nearest-other: unknown node 'fx'")
    dfal.refused([*words, "--scores", "s.h5"], 64, "needs logits, which s.h5 does not hold")
    # One class alone: nothing is near, and the order is that of ties. Who would be another is not finite.
    same = np.array([[1, 0], [2, 0], [2, 1], [0, 3e38]], np.float32)
    dfal.write(same, 2 * np.eye(2), np.zeros(2))
    by_rank(dfal.select(*words), {0: np.inf, 1: np.inf, 2: np.inf}, tie, "nearest-other of one class")
