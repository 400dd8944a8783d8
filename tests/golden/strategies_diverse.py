# SPDX-License-Identifier: Apache-2.0
"""dfal-diverse: of a scores file's smallest margins some that differ."""
import h5py
import numpy as np

from philox import ties
from strategies_case import NAN_ROW, ROWS, indices, world
from strategies_distances import distances, farthest_first


def most_similar_first(h, rows, count, tie):
    """Greedy facility location: again and again the row that adds most to the sum of largest similarities."""
    far = distances(h)[np.ix_(rows, rows)]
    similarity, covered, chosen = far.max() - far, np.zeros(len(rows)), []
    while len(chosen) < min(count, len(rows)):
        gain = np.maximum(similarity - covered, 0).sum(1).round(9)
        left = (i for i in range(len(rows)) if i not in chosen)
        best = min(left, key=lambda i: (-gain[i], int(tie[rows[i]])))
        chosen.append(best)
        covered = np.maximum(covered, similarity[best])
    return [rows[i] for i in chosen]


def few_of_a_pair(ranked, pairs, count):
    """By rank, but at most ceil(count / number of pairs) of each; then the others by rank."""
    quota = -(-count // len(set(pairs[row] for row in ranked)))
    taken, first = {}, []
    for row in ranked:
        if len(first) < count and taken.get(pairs[row], 0) < quota:
            taken[pairs[row]] = taken.get(pairs[row], 0) + 1
            first.append(row)
    return (first + [row for row in ranked if row not in first])[:count]


def dfal_diverse(dfal):
    x, weight, bias = world(8)
    clean = np.nan_to_num(x.astype(np.float64))
    tie = ties(1, ROWS)
    for labelled in ([], [5, *range(100, 120)]):
        dfal.write(x, weight, bias, labelled)
        dfal.write_scores()
        with h5py.File(dfal.at("s.h5")) as file:
            margin, status = file["margin"][()], file["status"][()]
            pairs = list(zip(file["label"][()].tolist(), file["adversarial_class"][()].tolist()))
        group = {0: 0, 1: 0, 2: 1}         # OK, TIE, MAX_ITER
        left = [row for row in range(ROWS) if row != NAN_ROW and row not in labelled]
        order = sorted(left, key=lambda row: (group[status[row]], margin[row], int(tie[row])))
        groups = [group[status[row]] for row in order]
        for count, rho in ((1, 10), (7, 10), (7, 3), (20, 1), (ROWS, 10)):
            count, end = min(count, len(order)), min(count * rho, len(order))
            others = [i for i in range(count, end) if groups[i] != groups[count - 1]]
            end = min([end, *others])
            short = sorted(order[:end])
            wanted = {"kcenter": [row for row, _ in farthest_first(clean, labelled, short, count, tie)],
                      "facility": most_similar_first(clean, short, count, tie),
                      "classpair": few_of_a_pair(order[:end], pairs, count)}
            for diversify, rows in wanted.items():
                words = ["--strategy", "dfal-diverse", "--count", str(count), "--max-iter", "1", "--option",
                         f"diversify={diversify}", "--option", f"rho={rho}"]
                select = dfal.select_whatever_the_work if (count, rho) == (7, 10) else dfal.select
                found = select(*words, "--scores", "s.h5")
                what = f"dfal-diverse {diversify} {len(labelled)} {count} {rho}"
                assert indices(found) == rows, f"{what}: {indices(found)}, expected {rows}"
                assert all(q["score"] == margin[q["index"]] for q in found), f"{what}: {found}"
                if count == 7:
                    assert dfal.select(*words) == found, f"{what}: margins of its own give others"
    base = ["--strategy", "dfal-diverse", "--count", "5"]
    plain = dfal.select(*base)
    assert plain == dfal.select(*base, "--option", "diversify=kcenter", "--option", "rho=10")
    named = dfal.select(*base, "--option", "node=input")
    assert indices(named) == indices(plain), "dfal-diverse: the input is what the last Gemm reads"
    dfal.refused([*base, "--option", "diversify=none"], 64, "expected kcenter, facility or classpair")
    dfal.refused([*base, "--option", "rho=0"], 64, "rho is 0, expected a whole number from 1")
    dfal.refused([*base, "--option", "node=fx"], 64, "strategy dfal-diverse: unknown node 'fx'")
    dfal.refused([*base, "--logits", "l.h5"], 64, "needs margins, which l.h5 does not hold")
    # All rows equal, of two classes.
    dfal.write(np.full((40, 2), 0.75, np.float32), np.diag([1.0, 2.0]), np.zeros(2))
    for diversify in ("kcenter", "facility", "classpair"):
        rows = indices(dfal.select(*base, "--option", f"diversify={diversify}"))
        assert rows[0] in range(40) and len(set(rows)) == 5, f"dfal-diverse {diversify}: {rows}"
