# SPDX-License-Identifier: Apache-2.0
"""egl-last, egl and badge: gradients by parameters, written out."""
import numpy as np
from scipy.special import softmax

from data import write_nodes
from philox import BADGE, random_bits, ties, uniform
from strategies_case import CLASSES, NAN_ROW, ROWS, TWIN_ROWS, indices, ranked, score_by_row, world
from support import write_pool

# Where 1 - p would be lost: two logits a row. The first row's chances are e^-40 and 1 - e^-40.
SURE = np.array([[40, 0], [0, 0], [800, 0]], np.float32)
LENGTH_OF_SURE = np.sqrt(8) * np.exp(-40.0) * np.sqrt(1601)


def egl_last(dfal):
    """The gradient of the last layer, written out: (p - e_k) by the bias, (p - e_k) h^T by the weight."""
    x, weight, bias = world(1)
    dfal.write(x, weight, bias)
    h = x.astype(np.float64)
    p = softmax(h @ weight.T + bias, 1)
    score = np.zeros(ROWS)
    for k in range(CLASSES):
        cotangent = p - np.eye(CLASSES)[k]
        gradient = np.concatenate([cotangent, (cotangent[:, :, None] * h[:, None, :]).reshape(ROWS, -1)], 1)
        score += p[:, k] * np.sqrt((gradient ** 2).sum(1))
    words = ("--strategy", "egl-last", "--count", str(ROWS + 50))
    whole = dfal.select_whatever_the_work(*words)
    ranked(whole, score, "egl-last")
    dfal.write_logits()
    assert dfal.select(*words, "--logits", "l.h5") == whole, "egl-last: --logits differs"
    few = dfal.select("--strategy", "egl-last", "--count", "7")
    assert indices(few) == indices(whole[:7])
    dfal.refused([*words, "--option", "node=fc"], 64, "strategy egl-last: unknown option 'node'")
    dfal.write(SURE, np.eye(2), np.zeros(2))
    at = score_by_row(dfal.select(*words))
    assert abs(at[0] / LENGTH_OF_SURE - 1) < 1e-13, f"egl-last: {at}"
    assert abs(at[1] - np.sqrt(0.5)) < 1e-15 and at[2] == 0.0, f"egl-last: {at}"


def small_network(seed):
    """A convolution, batch-norm, ReLU, max-pool, dropout and two products: nodes, parameters in double."""
    random = np.random.default_rng(seed)
    whole = lambda low, high, *shape: random.integers(low, high + 1, shape) / 8.0
    parameters = {"conv/weight": whole(-8, 8, 3, 1, 3, 3), "conv/bias": whole(-8, 8, 3),
                  "bn/weight": whole(4, 12, 3), "bn/bias": whole(-4, 4, 3),
                  "bn/mean": whole(-8, 8, 3), "bn/variance": whole(4, 16, 3),
                  "fc1/weight": whole(-6, 6, 5, 12), "fc1/bias": whole(-8, 8, 5),
                  "fc2/weight": whole(-4, 4, CLASSES, 5), "fc2/bias": whole(-8, 8, CLASSES)}
    chain = [("conv", "Conv", {}), ("bn", "BatchNormalization", {"epsilon": 0.125}), ("relu", "Relu", {}),
             ("pool", "MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]}),
             ("drop", "Dropout", {"ratio": 0.5}), ("flat", "Flatten", {}), ("fc1", "Gemm", {}),
             ("relu2", "Relu", {}), ("fc2", "Gemm", {})]
    nodes = [{"name": name, "op": op, "inputs": [chain[i - 1][0] if i else "input"], "attributes": attributes}
             for i, (name, op, attributes) in enumerate(chain)]
    return nodes, parameters


def gradient_squares(q, x, cotangents_of):
    """Per layer its gradient's squared length [N, cotangents]: no batch, no dropout, batch-norm frozen."""
    n = len(x)
    windows = np.lib.stride_tricks.sliding_window_view(x[:, 0], (3, 3), axis=(1, 2))    # [N, 4, 4, 3, 3]
    z = np.einsum("nyxij,oij->noyx", windows, q["conv/weight"][:, 0]) + q["conv/bias"][:, None, None]
    rstd = 1 / np.sqrt(q["bn/variance"] + 0.125)
    channel = lambda v: v[:, None, None]
    xhat = (z - channel(q["bn/mean"])) * channel(rstd)
    y = xhat * channel(q["bn/weight"]) + channel(q["bn/bias"])
    blocks = np.maximum(y, 0).reshape(n, 3, 2, 2, 2, 2).transpose(0, 1, 2, 4, 3, 5).reshape(n, 3, 2, 2, 4)
    h = blocks.max(-1).reshape(n, 12)
    z1 = h @ q["fc1/weight"].T + q["fc1/bias"]
    a = np.maximum(z1, 0)
    f = a @ q["fc2/weight"].T + q["fc2/bias"]
    total = lambda g: (g.reshape(n, -1) ** 2).sum(1)
    squares = {name: [] for name in ("conv", "bn", "fc1", "fc2")}
    for c in cotangents_of(softmax(f, 1)):
        squares["fc2"].append(total(c[:, :, None] * a[:, None, :]) + total(c))
        d1 = (c @ q["fc2/weight"]) * (z1 > 0)
        squares["fc1"].append(total(d1[:, :, None] * h[:, None, :]) + total(d1))
        first = np.arange(4) == blocks.argmax(-1)[..., None]                            # the pool's winner
        dy = first * (d1 @ q["fc1/weight"]).reshape(n, 3, 2, 2, 1)
        dy = dy.reshape(n, 3, 2, 2, 2, 2).transpose(0, 1, 2, 4, 3, 5).reshape(n, 3, 4, 4) * (y > 0)
        squares["bn"].append(total((dy * xhat).sum((2, 3))) + total(dy.sum((2, 3))))
        dz = dy * channel(q["bn/weight"] * rstd)
        squares["conv"].append(total(np.einsum("noyx,nyxij->noij", dz, windows)) + total(dz.sum((2, 3))))
    return softmax(f, 1), {name: np.array(s).T for name, s in squares.items()}


def egl(dfal):
    nodes, parameters = small_network(5)
    random = np.random.default_rng(6)
    x = random.integers(-96, 97, (ROWS, 1, 6, 6)) / 32
    x[TWIN_ROWS[1]] = x[TWIN_ROWS[2]] = x[TWIN_ROWS[0]]
    clean = x.copy()
    x[NAN_ROW, 0, 2, 3] = np.nan
    write_pool(dfal.at("pool.h5"), x.astype(np.float32), class_count=CLASSES)
    write_nodes(dfal.at("net.h5"), nodes, parameters, [1, 6, 6], CLASSES)
    p, squares = gradient_squares(parameters, clean, lambda p: [p - e_k for e_k in np.eye(CLASSES)])
    _, of_mean = gradient_squares(parameters, clean, lambda p: [p - 1 / CLASSES])
    words = ("--strategy", "egl", "--count", str(ROWS + 50))
    for layers in (None, "conv", "bn", "fc2", "fc1,bn"):
        names = layers.split(",") if layers else list(squares)
        chosen = ["--option", f"layers={layers}"] if layers else []
        score = (p * np.sqrt(sum(squares[name] for name in names))).sum(1)
        whole = dfal.select_whatever_the_work(*words, *chosen)
        ranked(whole, score, f"egl {layers}", 3e-6)
        score = np.sqrt(sum(of_mean[name] for name in names))[:, 0]
        of_paper = dfal.select(*words, *chosen, "--option", "paper-compat=yes")
        ranked(of_paper, score, f"egl of the paper {layers}", 3e-6)
    whole = dfal.select_whatever_the_work(*words)
    at = score_by_row(whole)
    assert at[TWIN_ROWS[0]] == at[TWIN_ROWS[1]] == at[TWIN_ROWS[2]], "egl: equal rows, other scores"
    few = dfal.select("--strategy", "egl", "--count", "7")
    assert indices(few) == indices(whole[:7])
    part = dfal.select(*words, "--subsample", "50")
    assert len(part) in (49, 50), f"egl: {len(part)} of a subsample of 50"
    assert all(query["score"] == at[query["index"]] for query in part), "egl: a row's score knows the others"
    dfal.refused([*words, "--logits", "l.h5"], 64, "needs gradients, which l.h5 does not hold")
    dfal.refused([*words, "--option", "layers=fc1,fc3"], 64, "strategy egl: unknown node 'fc3'")
    dfal.refused([*words, "--option", "layers=fc1,pool"], 64,
                 "strategy egl: node 'pool' has no parameters that are trained")
    dfal.refused([*words, "--option", "layers=,"], 64, "strategy egl: layers ',' names no node")
    dfal.refused([*words, "--option", "paper-compat=maybe"], 64, "expected no or yes")
    dfal.refused(["--memory", "20M", *words], 69, "MiB of memory")
    dfal.write(SURE, np.eye(2), np.zeros(2))
    at = score_by_row(dfal.select(*words))
    assert abs(at[0] / LENGTH_OF_SURE - 1) < 3e-7, f"egl: {at}"
    assert abs(at[1] / np.sqrt(0.5) - 1) < 3e-7 and at[2] == 0.0, f"egl: {at}"
    at = score_by_row(dfal.select(*words, "--option", "paper-compat=yes"))
    assert abs(at[0] / np.sqrt(0.5 * 1601) - 1) < 3e-7 and at[1] == 0.0, f"egl of the paper: {at}"
    # What it cannot do: nothing is trained; the outputs are no logits.
    flat = [{"name": "flat", "op": "Flatten", "inputs": ["input"], "attributes": {}}]
    write_nodes(dfal.at("net.h5"), flat, {}, [2, 1, 1], 2)
    dfal.refused(words, 65, "strategy egl: the network has no parameters that are trained")
    dfal.write(np.tile(np.array([0.25, 0.75], np.float32), (20, 1)), np.eye(2), np.zeros(2))
    dfal.refused(words, 65, "look like probabilities")


def race(seed, choice, square, left):
    """Who of those that are left arrives first, by (seed, choice, row); last those at a distance of 0."""
    wait = -np.log1p(-uniform(int(random_bits(seed, BADGE, choice)), BADGE, np.arange(len(square))))
    return min(left, key=lambda i: (0, wait[i] / square[i]) if square[i] > 0 else (1, wait[i]))


def k_means_plus_plus(g, candidates, count, seed, tie):
    """The longest row, then one after the other by chances that go with squared distances to those before."""
    square, left, chosen = (g ** 2).sum(1), list(candidates), []
    while left and len(chosen) < count:
        if chosen:
            row = race(seed, len(chosen), square, left)
        else:
            row = min(left, key=lambda i: (-square[i], int(tie[i])))
        chosen.append((row, np.sqrt(square[row])))
        left.remove(row)
        distance = ((g - g[row]) ** 2).sum(1)
        square = np.minimum(square, distance) if len(chosen) > 1 else distance
    return chosen


def last_layer_gradients(f, h):
    """(p - e_y) h^T, written out, a row a sample."""
    p = softmax(f, 1)
    best, rows = f.argmax(1), np.arange(len(f))
    p[rows, best] = 0
    p[rows, best] = -p.sum(1)                   # not p - 1, which would lose it
    return (p[:, :, None] * h[:, None, :]).reshape(len(f), -1)


def badge(dfal):
    x, weight, bias = world(7)
    clean = np.nan_to_num(x.astype(np.float64))
    finite = [row for row in range(ROWS) if row != NAN_ROW]
    dfal.write(x, weight / 4, bias)
    g = last_layer_gradients(clean @ weight.T / 4 + bias, clean)
    for seed, count in ((1, ROWS), (2, 25), (77, 1)):
        wanted = k_means_plus_plus(g, finite, count, seed, ties(seed, ROWS))
        select = dfal.select_whatever_the_work if seed == 1 else dfal.select
        words = ["--strategy", "badge", "--count", str(count + 50 * (count == ROWS)), "--seed", str(seed)]
        found = select(*words)
        assert indices(found) == [row for row, _ in wanted], f"badge {seed} {count}: other rows"
        for query, (_, score) in zip(found, wanted):
            error = abs(query["score"] - score)
            assert error <= 1e-6 * max(score, 1e-2), f"badge {seed}: {query}, expected {score}"
        if seed == 1:
            at = score_by_row(found)
            assert sorted(at[row] for row in TWIN_ROWS)[:2] == [0.0, 0.0], "badge: equal rows are apart"
            dfal.write_logits()
            assert dfal.select(*words, "--logits", "l.h5") == found, "badge: --logits differs"
    # A race is a draw: the chances are those of the squares.
    square = np.array([1.0, 0.0, 2.0, 5.0])
    share = np.bincount([race(seed, 1, square, range(4)) for seed in range(4000)], minlength=4) / 4000
    assert share[1] == 0 and np.abs(share - square / 8).max() < 0.03, f"badge: chances {share}"
    # All equal: after the first each has the same chance. Of two classes alone.
    weight, tie = np.diag([1.0, 2.0]), ties(5, 40)
    for value in (0.75, 0.0):
        same = np.full((40, 2), value)
        dfal.write(same.astype(np.float32), weight, np.zeros(2))
        wanted = k_means_plus_plus(last_layer_gradients(same * [1, 2], same), range(40), 12, 5, tie)
        found = dfal.select("--strategy", "badge", "--count", "12", "--seed", "5")
        assert indices(found) == [row for row, _ in wanted], f"badge of equal rows of {value}"
        assert all(q["score"] == 0 for q in found[1:]), f"badge of equal rows of {value}: {found}"
    words = ("--strategy", "badge", "--count", "5")
    dfal.refused([*words, "--option", "node=fc"], 64, "strategy badge: unknown option 'node'")
    dfal.refused([*words, "--scores", "s.h5"], 64, "needs logits, which s.h5 does not hold")
    dfal.write(np.full((3, 2), np.nan, np.float32), weight, np.zeros(2))
    dfal.refused(words, 65, "none of the 3 candidates is finite")
