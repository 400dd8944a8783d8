# SPDX-License-Identifier: Apache-2.0
"""ceal and dfal+ceal, which label rows themselves, and balanced, which evens out another ranking."""
import csv

import numpy as np
from scipy.special import logsumexp, softmax

from philox import ties
from strategies_case import CLASSES, NAN_ROW, ROWS, indices, logits_of, world


def entropy_of(f):
    return logsumexp(f, 1) - (softmax(f, 1) * f).sum(1)


def pseudo_labels(dfal, *words):
    """The queries, and what the label file says of which row."""
    queries = dfal.select(*words, "--pseudo-labels", dfal.at("pl.csv"))
    with open(dfal.at("pl.csv"), encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert {line["annotator"] for line in lines} <= {words[1]}, "who says so"
    return queries, {int(line["id"].split(":")[1]): int(line["label"]) for line in lines}


def ceal(dfal):
    x, weight, bias = world(21)
    labelled = [3, 50, 51]
    dfal.write(x, weight, bias, labelled)
    f = logits_of(np.nan_to_num(x), weight, bias)
    score = entropy_of(f)
    open_rows = [row for row in range(ROWS) if row != NAN_ROW and row not in labelled]
    for threshold, count in ((0.05, 5), (0.5, 30), (2.0, 7), (0.0, 3)):
        words = ["--strategy", "ceal", "--count", str(count), "--option", f"threshold={threshold}"]
        queries, labels = pseudo_labels(dfal, *words)
        assert queries == dfal.select_whatever_the_work(*words), "pseudo-labels change the queries"
        queries_of = dfal.select("--strategy", "entropy", "--count", str(count))
        assert indices(queries) == indices(queries_of), "ceal does not query what entropy queries"
        wanted = {row: int(f[row].argmax()) for row in open_rows
                  if score[row] < threshold and row not in indices(queries)}
        near = [row for row in open_rows if threshold and abs(score[row] - threshold) < 1e-9]
        assert not near, "the test needs entropies apart from the threshold"
        assert labels == wanted, f"ceal {threshold}: {len(labels)} pseudo-labels, expected {len(wanted)}"
        assert (len(wanted) > 0) == (threshold > 0), "the test's thresholds label nothing"
    words = ["--strategy", "dfal+ceal", "--count", "9", "--option", "threshold=0.5"]
    queries, labels = pseudo_labels(dfal, *words)
    assert indices(queries) == indices(dfal.select("--strategy", "dfal", "--count", "9")), "dfal+ceal: queries"
    assert labels == {row: int(f[row].argmax()) for row in open_rows
                      if score[row] < 0.5 and row not in indices(queries)}, "dfal+ceal: pseudo-labels"
    dfal.refused([*words, "--option", "threshold=-1"], 64, "threshold is -1, expected a number from 0")
    dfal.refused(["--strategy", "margin", "--count", "3", "--pseudo-labels", dfal.at("no2.csv")], 64,
                 "strategy margin labels nothing itself")


def balanced_order(order, predicted, counts, count):
    """The rows of a ranking, each time the best of the class that has the fewest."""
    counts, left, chosen = list(counts), list(order), []
    while left and len(chosen) < count:
        classes = {predicted[row] for row in left}
        rarest = min(classes, key=lambda k: (counts[k], k))
        row = next(row for row in left if predicted[row] == rarest)
        left.remove(row)
        chosen.append(row)
        counts[rarest] += 1
    return chosen


def balanced(dfal):
    x, weight, bias = world(22)
    f = logits_of(np.nan_to_num(x), weight, bias)
    predicted, tie = f.argmax(1), ties(1, ROWS)
    for labelled in ([], [3, 50, 51, 60, 61, 62]):
        dfal.write(x, weight, bias, labelled)     # each of them of class 1
        counts = [0, len(labelled), 0, 0]
        for of in ("margin", "entropy", "dfal", "random"):
            for count in (10, ROWS + 50):
                plain = dfal.select("--strategy", of, "--count", str(ROWS + 50))
                words = ["--strategy", "balanced", "--option", f"of={of}", "--count", str(count)]
                wanted = balanced_order(indices(plain), predicted, counts, count)
                found = dfal.select_whatever_the_work(*words)
                assert indices(found) == wanted, f"balanced of {of}: other rows"
                scores = {query["index"]: query["score"] for query in plain}
                assert all(query["score"] == scores[query["index"]] for query in found), f"balanced of {of}"
    same = dfal.select("--strategy", "balanced", "--count", "12")
    assert same == [{**query, "strategy": "balanced"} for query in
                    dfal.select("--strategy", "balanced", "--option", "of=margin", "--count", "12")]
    drawn = ["--strategy", "balanced", "--option", "power=3", "--count", "12"]
    assert indices(dfal.select(*drawn)) != indices(same), "power of the ranking does nothing"
    dfal.refused(["--strategy", "balanced", "--option", "of=coreset", "--count", "3"], 64, "unknown of 'coreset': expected margin, entropy")
    dfal.refused(["--strategy", "balanced", "--option", "of=bald", "--count", "3"], 65, "the network has none")
    dfal.refused(["--strategy", "balanced", "--option", "of=dfal", "--count", "3", "--logits", "l.h5"], 64,
                 "needs margins, which l.h5 does not hold")
    assert len(set(predicted)) == CLASSES and len(set(tie)) == ROWS
