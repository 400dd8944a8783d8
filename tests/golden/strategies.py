# SPDX-License-Identifier: Apache-2.0
"""Holds the scores and the ranks of strategies against NumPy in float64.

Usage: strategies.py DFAL BACKEND[,BACKEND...]

The network is the identity, so a sample is its own logits: what is compared is the whole road from a pool of extreme logits to
QUERIES.csv, over a pass on the way, over `dfal logits` and, for logit-gap, over a scores file. Behind them strategies that ask
for more than logits: there pool and network are of small whole numbers, so that logits are exact, and the masks of dropout come
from a Philox of its own. Exit code 77: NumPy, SciPy or h5py is missing."""
import itertools
import json
import os
import subprocess
import sys
import tempfile

try:
    import h5py
    import numpy as np
    from scipy.special import logsumexp, softmax
except ImportError:
    print("NumPy, SciPy or h5py is missing: skipped")
    sys.exit(77)

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cli"))
from data import write_linear, write_nodes  # noqa: E402
from support import write_pool  # noqa: E402


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


def expected(f):
    """Per strategy (score, largest first). In double; what double itself loses is written so that it does not."""
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


def select(dfal, folder, backend, *words):
    done = subprocess.run([dfal, "-q", "--json", "--backend", backend, "select", "net.h5", "pool.h5", "--force", "-o",
                           "q.csv", *words], cwd=folder, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def compare(f, queries, score, largest, what):
    finite = np.isfinite(f).all(1)
    assert len(queries) == finite.sum(), f"{what}: {len(queries)} of {finite.sum()} finite rows came back"
    index = np.array([query["index"] for query in queries])
    found = np.array([query["score"] for query in queries])
    assert finite[index].all() and len(set(index)) == len(index), f"{what}: rows that are not finite, or twice"
    assert np.isfinite(found).all() and (found >= 0).all(), f"{what}: {found}"
    # logsumexp - sum p f cancels against logits of 1e4 and more: there the closed forms below are the test
    scale = np.abs(f[index].astype(np.float64)).max(1) if what.startswith("entropy") else np.ones(len(index))
    error = np.abs(found - score[index]) / np.maximum(1e-300, 1e-13 * scale + 1e-6 * (what[:9] == "logit-gap") * score[index]
                                                      + 1e-12 * np.abs(score[index]))
    worst = int(error.argmax())
    assert error[worst] <= 1, f"{what}: row {index[worst]} scores {found[worst]!r}, NumPy says {score[index[worst]]!r}"
    order = np.diff(found)
    assert ((order <= 0) if largest else (order >= 0)).all(), f"{what}: the ranks do not follow the scores"
    classes = f.shape[1]
    at = dict(zip(index.tolist(), found.tolist()))
    closed = {"entropy": {0: np.log(classes), 1: np.log(classes), 2: 0.0, 3: 0.0, 4: np.log(2), 8: 0.0},
              "least-confidence": {0: 1 - 1 / classes, 2: 0.0, 3: 0.0, 4: 0.5, 8: 0.0},
              "margin": {0: 0.0, 1: 0.0, 2: 1.0, 4: 0.0},
              "logit-gap": {0: 0.0, 1: 0.0, 2: 20000.0, 3: 10000.0, 4: 0.0, 7: 40.0, 8: 800.0}}[what.split()[0]]
    for row, value in closed.items():
        exact = value in (0.0, 1.0) or what.startswith("logit-gap")
        assert at[row] == value if exact else abs(at[row] - value) <= 1e-14 * value, f"{what}: row {row}: {at[row]!r}"
    if what.startswith("least") and 7 in at:
        tiny = (classes - 1) * np.exp(-40.0)
        assert abs(at[7] / (tiny / (1 + tiny)) - 1) < 1e-13, f"{what}: 1 - max p was lost: {at[7]!r}"
    predicted = np.array([query["predicted"] for query in queries])
    assert (predicted == f[index].argmax(1)).all(), f"{what}: predictions"


# ---- strategies that ask for more than logits --------------------------------------------------------------

CLASSES, SIZE, ROWS = 4, 12, 200
NAN_ROW, TWIN_ROWS = 17, (30, 31, 90)   # one that is not finite; three that are equal


def world(seed):
    """Samples in 32nds and a Gemm of whole numbers: every product and sum is exact in float32."""
    random = np.random.default_rng(seed)
    x = (random.integers(-96, 97, (ROWS, SIZE)) / 32).astype(np.float32)
    x[TWIN_ROWS[1]] = x[TWIN_ROWS[2]] = x[TWIN_ROWS[0]]
    x[NAN_ROW, 3] = np.nan
    return x, random.integers(-2, 3, (CLASSES, SIZE)).astype(np.float64), random.integers(-1, 2, CLASSES).astype(np.float64)


def write_world(folder, x, weight, bias, labels=None, dropout=None):
    write_pool(os.path.join(folder, "pool.h5"), x[:, :, None, None], labels, class_count=CLASSES)
    write_linear(os.path.join(folder, "net.h5"), weight, bias, [SIZE, 1, 1], dropout)


def whatever_the_work(dfal, folder, backend, words):
    """The queries, whose bytes depend on neither threads nor batch."""
    queries = select(dfal, folder, backend, *words)
    def table():
        with open(os.path.join(folder, "q.csv"), "rb") as file:
            return file.read()
    first = table()
    for threads, batch in ((1, 1), (2, 7), (4, 64)):
        select(dfal, folder, backend, "--threads", str(threads), "--batch", str(batch), *words)
        assert table() == first, f"{words}: {threads} threads and a batch of {batch} give another table"
    return queries


def ranked(queries, score, what, relative=0.0):
    """All finite rows, by the largest score."""
    index = np.array([query["index"] for query in queries])
    found = np.array([query["score"] for query in queries])
    assert sorted(index) == [row for row in range(ROWS) if row != NAN_ROW], f"{what}: not all finite rows came back"
    error = np.abs(found - score[index])
    assert (error <= 1e-12 + relative * score[index]).all(), f"{what}: row {index[error.argmax()]} is off by {error.max()}"
    assert (np.diff(found) <= 0).all(), f"{what}: the ranks do not follow the scores"


def refused(dfal, folder, backend, words, code, says):
    done = subprocess.run([dfal, "-q", "--backend", backend, "select", "net.h5", "pool.h5", "--force", "-o", "no.csv", *words],
                          cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    text = done.stderr.decode()
    assert done.returncode == code and says in text, f"{words}: {done.returncode}, {text}"


MORE = []


def more(check):
    MORE.append(check)
    return check


@more
def egl_last(dfal, folder, backend):
    """The gradient of the last layer, written out: (p - e_k) by the bias, (p - e_k) h^T by the weight."""
    x, weight, bias = world(1)
    write_world(folder, x, weight, bias)
    h = x.astype(np.float64)
    p = softmax(h @ weight.T + bias, 1)
    score = np.zeros(ROWS)
    for k in range(CLASSES):
        cotangent = p - np.eye(CLASSES)[k]
        gradient = np.concatenate([cotangent, (cotangent[:, :, None] * h[:, None, :]).reshape(ROWS, -1)], 1)
        score += p[:, k] * np.sqrt((gradient ** 2).sum(1))
    words = ("--strategy", "egl-last", "--count", str(ROWS + 50))
    whole = whatever_the_work(dfal, folder, backend, words)
    ranked(whole, score, "egl-last")
    subprocess.run([dfal, "-q", "--backend", backend, "logits", "net.h5", "pool.h5", "-o", "l.h5"], cwd=folder, check=True)
    assert select(dfal, folder, backend, *words, "--logits", "l.h5") == whole, "egl-last: --logits differs"
    few = select(dfal, folder, backend, "--strategy", "egl-last", "--count", "7")
    assert [query["index"] for query in few] == [query["index"] for query in whole[:7]]
    refused(dfal, folder, backend, [*words, "--option", "node=fc"], 64, "strategy egl-last: unknown option 'node'")
    # What 1 - p would lose: the identity, with two classes.
    sure = np.array([[40, 0], [0, 0], [800, 0]], np.float32)
    write_pool(os.path.join(folder, "pool.h5"), sure[:, :, None, None], class_count=2)
    write_linear(os.path.join(folder, "net.h5"), np.eye(2), np.zeros(2), [2, 1, 1])
    at = {q["index"]: q["score"] for q in select(dfal, folder, backend, *words)}
    wanted = np.sqrt(8) * np.exp(-40.0) * np.sqrt(1601)
    assert abs(at[0] / wanted - 1) < 1e-13 and abs(at[1] - np.sqrt(0.5)) < 1e-15 and at[2] == 0.0, f"egl-last: {at}"


def small_network(seed):
    """A convolution, batch-norm, ReLU, max-pool, dropout and two products, as nodes and as parameters in double."""
    random = np.random.default_rng(seed)
    whole = lambda low, high, *shape: random.integers(low, high + 1, shape) / 8.0
    parameters = {"conv/weight": whole(-8, 8, 3, 1, 3, 3), "conv/bias": whole(-8, 8, 3),
                  "bn/weight": whole(4, 12, 3), "bn/bias": whole(-4, 4, 3), "bn/mean": whole(-8, 8, 3), "bn/variance": whole(4, 16, 3),
                  "fc1/weight": whole(-6, 6, 5, 12), "fc1/bias": whole(-8, 8, 5),
                  "fc2/weight": whole(-4, 4, CLASSES, 5), "fc2/bias": whole(-8, 8, CLASSES)}
    chain = [("conv", "Conv", {}), ("bn", "BatchNormalization", {"epsilon": 0.125}), ("relu", "Relu", {}),
             ("pool", "MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]}), ("drop", "Dropout", {"ratio": 0.5}),
             ("flat", "Flatten", {}), ("fc1", "Gemm", {}), ("relu2", "Relu", {}), ("fc2", "Gemm", {})]
    nodes = [{"name": name, "op": op, "inputs": [chain[i - 1][0] if i else "input"], "attributes": attributes}
             for i, (name, op, attributes) in enumerate(chain)]
    return nodes, parameters


def gradient_squares(q, x, cotangents_of):
    """Per layer the squared length [N, cotangents] of its gradient, written out: no batch, no dropout, batch-norm frozen."""
    n = len(x)
    windows = np.lib.stride_tricks.sliding_window_view(x[:, 0], (3, 3), axis=(1, 2))           # [N, 4, 4, 3, 3]
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
        first = np.arange(4) == blocks.argmax(-1)[..., None]                                   # the pool's winner
        dy = first * (d1 @ q["fc1/weight"]).reshape(n, 3, 2, 2, 1)
        dy = dy.reshape(n, 3, 2, 2, 2, 2).transpose(0, 1, 2, 4, 3, 5).reshape(n, 3, 4, 4) * (y > 0)
        squares["bn"].append(total((dy * xhat).sum((2, 3))) + total(dy.sum((2, 3))))
        dz = dy * channel(q["bn/weight"] * rstd)
        squares["conv"].append(total(np.einsum("noyx,nyxij->noij", dz, windows)) + total(dz.sum((2, 3))))
    return softmax(f, 1), {name: np.array(s).T for name, s in squares.items()}


@more
def egl(dfal, folder, backend):
    nodes, parameters = small_network(5)
    random = np.random.default_rng(6)
    x = random.integers(-96, 97, (ROWS, 1, 6, 6)) / 32
    x[TWIN_ROWS[1]] = x[TWIN_ROWS[2]] = x[TWIN_ROWS[0]]
    clean = x.copy()
    x[NAN_ROW, 0, 2, 3] = np.nan
    write_pool(os.path.join(folder, "pool.h5"), x.astype(np.float32), class_count=CLASSES)
    write_nodes(os.path.join(folder, "net.h5"), nodes, parameters, [1, 6, 6], CLASSES)
    p, squares = gradient_squares(parameters, clean, lambda p: [p - np.eye(CLASSES)[k] for k in range(CLASSES)])
    _, of_mean = gradient_squares(parameters, clean, lambda p: [p - 1 / CLASSES])
    words = ("--strategy", "egl", "--count", str(ROWS + 50))
    for layers in (None, "conv", "bn", "fc2", "fc1,bn"):
        names = layers.split(",") if layers else list(squares)
        chosen = ["--option", f"layers={layers}"] if layers else []
        score = (p * np.sqrt(sum(squares[name] for name in names))).sum(1)
        whole = whatever_the_work(dfal, folder, backend, [*words, *chosen])
        ranked(whole, score, f"egl {layers}", 3e-6)
        score = np.sqrt(sum(of_mean[name] for name in names))[:, 0]
        ranked(select(dfal, folder, backend, *words, *chosen, "--option", "paper-compat=yes"), score, f"egl of the paper {layers}", 3e-6)
    whole = whatever_the_work(dfal, folder, backend, words)
    at = {query["index"]: query["score"] for query in whole}
    assert at[TWIN_ROWS[0]] == at[TWIN_ROWS[1]] == at[TWIN_ROWS[2]], "egl: equal rows, other scores"
    few = select(dfal, folder, backend, "--strategy", "egl", "--count", "7")
    assert [query["index"] for query in few] == [query["index"] for query in whole[:7]]
    part = select(dfal, folder, backend, *words, "--subsample", "50")
    assert len(part) in (49, 50) and all(query["score"] == at[query["index"]] for query in part), "egl: a row's score knows the others"
    refused(dfal, folder, backend, [*words, "--logits", "l.h5"], 64, "needs gradients, which l.h5 does not hold")
    refused(dfal, folder, backend, [*words, "--option", "layers=fc1,fc3"], 64, "strategy egl: unknown node 'fc3'")
    refused(dfal, folder, backend, [*words, "--option", "layers=fc1,pool"], 64, "strategy egl: node 'pool' has no parameters that are trained")
    refused(dfal, folder, backend, [*words, "--option", "layers=,"], 64, "strategy egl: layers ',' names no node")
    refused(dfal, folder, backend, [*words, "--option", "paper-compat=maybe"], 64, "expected no or yes")
    refused(dfal, folder, backend, ["--memory", "20M", *words], 69, "MiB of memory")
    # Where 1 - p would be lost: the identity, with two classes. The first row's chances are e^-40 and 1 - e^-40.
    sure = np.array([[40, 0], [0, 0], [800, 0]], np.float32)
    write_pool(os.path.join(folder, "pool.h5"), sure[:, :, None, None], class_count=2)
    write_linear(os.path.join(folder, "net.h5"), np.eye(2), np.zeros(2), [2, 1, 1])
    at = {q["index"]: q["score"] for q in select(dfal, folder, backend, *words)}
    wanted = np.sqrt(8) * np.exp(-40.0) * np.sqrt(1601)
    assert abs(at[0] / wanted - 1) < 3e-7 and abs(at[1] / np.sqrt(0.5) - 1) < 3e-7 and at[2] == 0.0, f"egl: {at}"
    at = {q["index"]: q["score"] for q in select(dfal, folder, backend, *words, "--option", "paper-compat=yes")}
    assert abs(at[0] / np.sqrt(0.5 * 1601) - 1) < 3e-7 and at[1] == 0.0, f"egl of the paper: {at}"
    # What it cannot do: nothing is trained; the outputs are no logits.
    flat = [{"name": "flat", "op": "Flatten", "inputs": ["input"], "attributes": {}}]
    write_nodes(os.path.join(folder, "net.h5"), flat, {}, [2, 1, 1], 2)
    refused(dfal, folder, backend, words, 65, "strategy egl: the network has no parameters that are trained")
    write_linear(os.path.join(folder, "net.h5"), np.eye(2), np.zeros(2), [2, 1, 1])
    write_pool(os.path.join(folder, "pool.h5"), np.tile(np.array([0.25, 0.75], np.float32), (20, 1))[:, :, None, None], class_count=2)
    refused(dfal, folder, backend, words, 65, "look like probabilities")


def philox(seed, stream, salt, index):
    """Philox4x32-10 (Salmon et al. 2011): four words of each index."""
    index = np.asarray(index, np.uint64)
    low = np.uint64(0xffffffff)
    c = [index & low, index >> np.uint64(32), np.full_like(index, salt), np.full_like(index, stream)]
    key = [seed & 0xffffffff, seed >> 32]
    for _ in range(10):
        first, second = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [second >> np.uint64(32) ^ c[1] ^ np.uint64(key[0]), second & low,
             first >> np.uint64(32) ^ c[3] ^ np.uint64(key[1]), first & low]
        key = [(key[0] + 0x9E3779B9) & 0xffffffff, (key[1] + 0xBB67AE85) & 0xffffffff]
    return np.stack(c, -1)


def random_bits(seed, stream, index):
    words = philox(seed, stream, 0, index)
    return words[..., 1] << np.uint64(32) | words[..., 0]


@more
def bald(dfal, folder, backend):
    x, weight, bias = world(2)
    clean = np.nan_to_num(x.astype(np.float64))
    element = np.arange(ROWS * SIZE, dtype=np.uint64)
    for ratio, passes, seed in ((0.5, 10, 1), (0.75, 3, 77)):
        write_world(folder, x, weight, bias, dropout=ratio)
        drawn = int(random_bits(seed, 17, 0))
        p = np.zeros((passes, ROWS, CLASSES))
        for t in range(passes):
            word = philox(drawn, 2, t, element // np.uint64(4))[np.arange(ROWS * SIZE), element % np.uint64(4)]
            kept = (word >= int(ratio * 2 ** 32)).reshape(ROWS, SIZE)
            p[t] = softmax((clean * kept / (1 - ratio)) @ weight.T + bias, 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            entropy = lambda q: -np.where(q > 0, q * np.log(q), 0).sum(-1)
        score = np.maximum(entropy(p.mean(0)) - entropy(p).mean(0), 0)
        words = ["--strategy", "bald", "--count", str(ROWS + 50), "--seed", str(seed)]
        if passes != 10:
            words += ["--option", f"passes={passes}"]
        ranked(whatever_the_work(dfal, folder, backend, words), score, f"bald {ratio}")
        part = select(dfal, folder, backend, *words, "--subsample", "50")
        assert len(part) in (49, 50) and all(abs(q["score"] - score[q["index"]]) <= 1e-12 for q in part)
    words = ("--strategy", "bald", "--count", "5")
    refused(dfal, folder, backend, [*words, "--option", "pases=5"], 64,
            "strategy bald: unknown option 'pases': expected passes or power; nearest is 'passes'")
    refused(dfal, folder, backend, [*words, "--option", "passes=0"], 64, "passes is 0, expected a whole number from 1")
    refused(dfal, folder, backend, [*words, "--option", "passes"], 64, "expected KEY=VALUE")
    refused(dfal, folder, backend, [*words, "--scores", "s.h5"], 64, "needs stochastic passes, which s.h5 does not hold")
    write_world(folder, x, weight, bias)
    refused(dfal, folder, backend, words, 65, "the network has none")
    write_world(folder, x, weight, bias, dropout=0.0)
    refused(dfal, folder, backend, words, 65, "the network has none")


def farthest_first(h, centres, candidates, count, tie):
    """Again and again the row that is farthest from all centres; ties by the lowest random number."""
    far = np.sqrt(((h[:, None, :] - h[None, :, :]) ** 2).sum(-1))
    chosen, centres, left = [], list(centres), list(candidates)
    while left and len(chosen) < count:
        nearest = far[:, centres].min(1) if centres else np.full(len(h), np.inf)
        row = min(left, key=lambda i: (-nearest[i], int(tie[i])))
        chosen.append((row, nearest[row]))
        centres.append(row)
        left.remove(row)
    return chosen


@more
def coreset_greedy(dfal, folder, backend):
    x, weight, bias = world(3)
    tie = random_bits(1, 8, np.arange(ROWS))
    features = {None: x.astype(np.float64), "fc": x.astype(np.float64) @ weight.T + bias, "input": x.astype(np.float64)}
    finite = [row for row in range(ROWS) if row != NAN_ROW]
    for node, h in features.items():
        for centres in ([], [5], [*TWIN_ROWS[:1], *range(100, 120)]):
            labels = np.full(ROWS, -1)
            labels[centres] = 1
            write_world(folder, x, weight, bias, labels)
            words = ["--strategy", "coreset-greedy", *(["--option", f"node={node}"] if node else [])]
            left = [row for row in finite if row not in centres]
            for count in (1, ROWS) if node is None else (25,):
                wanted = farthest_first(h, centres, left, count, tie)
                run = whatever_the_work if count == ROWS else lambda *rest: select(*rest[:3], *rest[3])
                found = run(dfal, folder, backend, [*words, "--count", str(count)])
                what = f"coreset-greedy {node} {len(centres)} {count}"
                assert [q["index"] for q in found] == [row for row, _ in wanted], f"{what}: other rows"
                for query, (_, far) in zip(found, wanted):
                    score = np.inf if query["score"] is None else query["score"]
                    assert score == far or (np.isfinite(far) and abs(score - far) <= 1e-12 * far), f"{what}: {query}, expected {far}"
    words = ("--strategy", "coreset-greedy", "--count", "5")
    refused(dfal, folder, backend, [*words, "--option", "node=fx"], 64, "strategy coreset-greedy: unknown node 'fx'")
    refused(dfal, folder, backend, [*words, "--logits", "l.h5"], 64, "needs features, which l.h5 does not hold")


def record_of(dfal, folder, backend, words):
    """The queries, and the event that tells how the set was found."""
    done = subprocess.run([dfal, "--json", "--log-format", "json", "--backend", backend, "select", "net.h5", "pool.h5", "--force", "-o", "q.csv",
                           *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True)
    events = [json.loads(line) for line in done.stderr.decode().splitlines()]
    return json.loads(done.stdout), next(event for event in events if event["event"] == "select.coreset")


def radius(far, candidates, centres, outliers):
    """The largest distance of a candidate to its nearest centre, but for so many outliers."""
    nearest = far[np.ix_(candidates, centres)].min(1) if len(centres) else np.full(len(candidates), np.inf)
    return np.sort(nearest)[::-1][outliers] if outliers < len(candidates) else 0.0


def smallest_radius(far, candidates, labelled, count, outliers):
    """By looking at every set."""
    return min(radius(far, candidates, [*labelled, *chosen], outliers) for chosen in itertools.combinations(candidates, count))


def check_set(found, record, far, candidates, labelled, best, what):
    """The set is as good as the record says, which is as good as can be; its order is that of the greedy choice."""
    rows, outliers = [q["index"] for q in found], record["outliers"]
    reached = radius(far, candidates, [*labelled, *rows], outliers)
    assert abs(record["radius"] - reached) <= 1e-8 * reached, f"{what}: the record says {record['radius']}, it is {reached}"
    assert reached >= best - 1e-9 and record["greedy_radius"] >= record["radius"], f"{what}: {reached}, expected {best}"
    if record["proven"] == "yes":
        assert abs(reached - best) <= 1e-9, f"{what}: {reached} is called proven, the best is {best}"
    else:
        assert (record["level"], record["solver"], record["reason"]) == ("warning", "none", "solver"), f"{what}: {record}"
    for k, query in enumerate(found):
        near = far[:, [*labelled, *rows[:k]]].min(1) if labelled or k else np.full(len(far), np.inf)
        score = np.inf if query["score"] is None else query["score"]
        assert near[rows[k]] == near[rows[k:]].max(), f"{what}: another one is farther than rank {k + 1}"
        assert score == near[rows[k]] or abs(score - near[rows[k]]) <= 1e-9 * score, f"{what}: {query}, expected {near[rows[k]]}"


@more
def coreset(dfal, folder, backend):
    x, weight, bias = world(3)
    h = x.astype(np.float64)
    far = np.sqrt(((h[:, None, :] - h[None, :, :]) ** 2).sum(-1))
    seen = set()
    for labelled in ([], [5], [*TWIN_ROWS[:1], *range(100, 120)]):
        labels = np.full(ROWS, -1)
        labels[labelled] = 1
        write_world(folder, x, weight, bias, labels)
        part = ["--strategy", "coreset", "--subsample", "12"]
        every = [*part, "--count", "12"]
        found, record = record_of(dfal, folder, backend, every)
        candidates = sorted(q["index"] for q in found)
        assert len(candidates) in (11, 12) and record["radius"] == 0, f"coreset of all: {record}"
        for count, outliers in ((1, 0), (2, 0), (3, 0), (2, 1), (3, 2), (1, 11)):
            best = smallest_radius(far, candidates, labelled, count, outliers)
            for words in (["program=covering"], ["program=sener"], ["solver=none"]):
                words = [*part, "--count", str(count), "--option", f"outliers={outliers}", "--option", *words]
                found, record = record_of(dfal, folder, backend, words)
                what = f"coreset {len(labelled)} {words[3:]}"
                assert len(found) == count and record["labelled"] == len(labelled), f"{what}: {found}, {record}"
                check_set(found, record, far, candidates, labelled, best, what)
                seen.add((record["solver"].split()[0], record["proven"]))
    whatever_the_work(dfal, folder, backend, ["--strategy", "coreset", "--count", "9"])
    assert ("none", "no") in seen, f"coreset: nothing is told of a missing solver: {seen}"
    words = ("--strategy", "coreset", "--count", "5")
    refused(dfal, folder, backend, [*words, "--option", "program=senr"], 64, "unknown program 'senr': expected covering or sener")
    refused(dfal, folder, backend, [*words, "--option", "outliers=-1"], 64, "outliers is -1, expected a whole number")
    refused(dfal, folder, backend, [*words, "--option", "solver=gurobi"], 64, "unknown solver 'gurobi': expected auto, cbc or none")
    refused(dfal, folder, backend, [*words, "--option", "node=fx"], 64, "strategy coreset: unknown node 'fx'")
    x[1:] = x[0]
    write_world(folder, x, weight, bias)
    _, record = record_of(dfal, folder, backend, words)
    assert (record["radius"], record["proven"], record["models"]) == (0, "yes", 0), f"coreset of one point: {record}"


def nearest_of_another(h, f, candidates, labelled):
    """Distance of each candidate to the nearest finite row that is predicted to be something else."""
    usable = [row for row in [*candidates, *labelled] if np.isfinite(h[row]).all() and np.isfinite(f[row]).all()]
    score = {}
    for row in set(candidates) & set(usable):
        others = [other for other in usable if f[other].argmax() != f[row].argmax()]
        score[row] = min((np.sqrt(((h[row] - h[other]) ** 2).sum()) for other in others), default=np.inf)
    return score


def by_rank(queries, score, tie, what):
    """All of them, by the smallest score and then the lowest random number."""
    assert [q["index"] for q in queries] == sorted(score, key=lambda row: (score[row], int(tie[row]))), f"{what}: other rows"
    for query in queries:
        found, wanted = np.inf if query["score"] is None else query["score"], score[query["index"]]
        same = found == wanted or (np.isfinite(wanted) and abs(found - wanted) <= 1e-12 * wanted)
        assert same, f"{what}: {query}, expected {wanted}"


@more
def nearest_other(dfal, folder, backend):
    x, weight, _ = world(4)
    x[40:44] = 0                                # all logits equal: class 0
    bias = np.zeros(CLASSES)
    x[45], weight[:, 0] = 0, [1, 2, 0, 1]
    x[45, 0] = 3e38                             # features are finite, a logit is not
    x[46] = np.nan                              # labelled below
    tie = random_bits(1, 8, np.arange(ROWS))
    samples = x.astype(np.float64)
    with np.errstate(over="ignore"):
        f = (samples @ weight.T + bias).astype(np.float32).astype(np.float64)
    for node, h in {None: samples, "fc": f, "input": samples}.items():
        for labelled in ([], [5, 46], [41, 46, *TWIN_ROWS[:1], *range(100, 120)]):
            labels = np.full(ROWS, -1)
            labels[labelled] = 1
            write_world(folder, x, weight, bias, labels)
            candidates = [row for row in range(ROWS) if row not in labelled]
            words = ["--strategy", "nearest-other", "--count", str(ROWS + 50), *(["--option", f"node={node}"] if node else [])]
            what = f"nearest-other {node} {len(labelled)}"
            whole = whatever_the_work(dfal, folder, backend, words)
            by_rank(whole, nearest_of_another(h, f, candidates, labelled), tie, what)
            few = select(dfal, folder, backend, *words, "--count", "7")
            assert [q["index"] for q in few] == [q["index"] for q in whole[:7]], f"{what}: the first seven are others"
            subprocess.run([dfal, "-q", "--backend", backend, "logits", "net.h5", "pool.h5", "--force", "-o", "l.h5"],
                           cwd=folder, check=True)
            assert select(dfal, folder, backend, *words, "--logits", "l.h5") == whole, f"{what}: --logits differs"
            part = select(dfal, folder, backend, *words, "--subsample", "50")
            by_rank(part, nearest_of_another(h, f, [q["index"] for q in part], labelled), tie, f"{what} of 50")
    words = ("--strategy", "nearest-other", "--count", "5")
    refused(dfal, folder, backend, [*words, "--option", "node=fx"], 64, "strategy nearest-other: unknown node 'fx'")
    refused(dfal, folder, backend, [*words, "--scores", "s.h5"], 64, "needs logits, which s.h5 does not hold")
    # One class alone: nothing is near, and the order is that of ties. Who would be another is not finite.
    same = np.array([[1, 0], [2, 0], [2, 1], [0, 3e38]], np.float32)
    write_pool(os.path.join(folder, "pool.h5"), same[:, :, None, None], class_count=2)
    write_linear(os.path.join(folder, "net.h5"), 2 * np.eye(2), np.zeros(2), [2, 1, 1])
    by_rank(select(dfal, folder, backend, *words), {0: np.inf, 1: np.inf, 2: np.inf}, tie, "nearest-other of one class")


def uniform(seed, stream, index):
    return (random_bits(seed, stream, index) >> np.uint64(11)).astype(np.float64) * 2.0 ** -53


def race(seed, choice, square, left):
    """The first of those that are left to arrive, of (seed, choice, row); those at a distance of 0 come behind all others."""
    wait = -np.log1p(-uniform(int(random_bits(seed, 20, choice)), 20, np.arange(len(square))))
    return min(left, key=lambda i: (0, wait[i] / square[i]) if square[i] > 0 else (1, wait[i]))


def k_means_plus_plus(g, candidates, count, seed, tie):
    """The longest row, then again and again one by a chance proportional to its squared distance to those before."""
    square, left, chosen = (g ** 2).sum(1), list(candidates), []
    while left and len(chosen) < count:
        row = race(seed, len(chosen), square, left) if chosen else min(left, key=lambda i: (-square[i], int(tie[i])))
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


@more
def badge(dfal, folder, backend):
    x, weight, bias = world(7)
    clean = np.nan_to_num(x.astype(np.float64))
    finite = [row for row in range(ROWS) if row != NAN_ROW]
    write_world(folder, x, weight / 4, bias)
    g = last_layer_gradients(clean @ weight.T / 4 + bias, clean)
    for seed, count in ((1, ROWS), (2, 25), (77, 1)):
        wanted = k_means_plus_plus(g, finite, count, seed, random_bits(seed, 8, np.arange(ROWS)))
        run = whatever_the_work if seed == 1 else lambda *rest: select(*rest[:3], *rest[3])
        words = ["--strategy", "badge", "--count", str(count + 50 * (count == ROWS)), "--seed", str(seed)]
        found = run(dfal, folder, backend, words)
        assert [q["index"] for q in found] == [row for row, _ in wanted], f"badge {seed} {count}: other rows"
        for query, (_, score) in zip(found, wanted):
            assert abs(query["score"] - score) <= 1e-6 * max(score, 1e-2), f"badge {seed}: {query}, expected {score}"
        if seed == 1:
            at = {q["index"]: q["score"] for q in found}
            assert sorted(at[row] for row in TWIN_ROWS)[:2] == [0.0, 0.0], "badge: equal rows are apart"
            subprocess.run([dfal, "-q", "--backend", backend, "logits", "net.h5", "pool.h5", "--force", "-o", "l.h5"],
                           cwd=folder, check=True)
            assert select(dfal, folder, backend, *words, "--logits", "l.h5") == found, "badge: --logits differs"
    # A race is a draw: the chances are those of the squares.
    square = np.array([1.0, 0.0, 2.0, 5.0])
    share = np.bincount([race(seed, 1, square, range(4)) for seed in range(4000)], minlength=4) / 4000
    assert share[1] == 0 and np.abs(share - square / 8).max() < 0.03, f"badge: chances {share}"
    # All equal: after the first each has the same chance. Of two classes alone.
    write_pool(os.path.join(folder, "pool.h5"), np.full((40, 2, 1, 1), 0.75, np.float32), class_count=2)
    write_linear(os.path.join(folder, "net.h5"), np.array([[1.0, 0], [0, 2]]), np.zeros(2), [2, 1, 1])
    tie = random_bits(5, 8, np.arange(40))
    for value in (0.75, 0.0):
        write_pool(os.path.join(folder, "pool.h5"), np.full((40, 2, 1, 1), value, np.float32), class_count=2)
        same = np.full((40, 2), value)
        wanted = k_means_plus_plus(last_layer_gradients(same * [1, 2], same), range(40), 12, 5, tie)
        found = select(dfal, folder, backend, "--strategy", "badge", "--count", "12", "--seed", "5")
        assert [q["index"] for q in found] == [row for row, _ in wanted], f"badge of equal rows of {value}"
        assert all(q["score"] == 0 for q in found[1:]), f"badge of equal rows of {value}: {found}"
    words = ("--strategy", "badge", "--count", "5")
    refused(dfal, folder, backend, [*words, "--option", "node=fc"], 64, "strategy badge: unknown option 'node'")
    refused(dfal, folder, backend, [*words, "--scores", "s.h5"], 64, "needs logits, which s.h5 does not hold")
    write_pool(os.path.join(folder, "pool.h5"), np.full((3, 2, 1, 1), np.nan, np.float32), class_count=2)
    refused(dfal, folder, backend, words, 65, "none of the 3 candidates is finite")


def most_similar_first(h, rows, count, tie):
    """Greedy facility location: again and again the row that adds most to the sum of largest similarities."""
    far = np.sqrt(((h[:, None, :] - h[None, :, :]) ** 2).sum(-1))[np.ix_(rows, rows)]
    similarity, covered, chosen = far.max() - far, np.zeros(len(rows)), []
    while len(chosen) < min(count, len(rows)):
        gain = np.maximum(similarity - covered, 0).sum(1).round(9)
        best = min((i for i in range(len(rows)) if i not in chosen), key=lambda i: (-gain[i], int(tie[rows[i]])))
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


@more
def dfal_diverse(dfal, folder, backend):
    x, weight, bias = world(8)
    clean = np.nan_to_num(x.astype(np.float64))
    tie = random_bits(1, 8, np.arange(ROWS))
    for labelled in ([], [5, *range(100, 120)]):
        labels = np.full(ROWS, -1)
        labels[labelled] = 1
        write_world(folder, x, weight, bias, labels)
        subprocess.run([dfal, "-q", "--backend", backend, "score", "net.h5", "pool.h5", "--force", "-o", "s.h5", "--max-iter", "1"],
                       cwd=folder, check=True, stdout=subprocess.DEVNULL)
        with h5py.File(os.path.join(folder, "s.h5")) as file:
            margin, status = file["margin"][()], file["status"][()]
            pairs = list(zip(file["label"][()].tolist(), file["adversarial_class"][()].tolist()))
        group = {0: 0, 1: 0, 2: 1}         # OK, TIE, MAX_ITER
        left = [row for row in range(ROWS) if row != NAN_ROW and row not in labelled]
        order = sorted(left, key=lambda row: (group[status[row]], margin[row], int(tie[row])))
        for count, rho in ((1, 10), (7, 10), (7, 3), (20, 1), (ROWS, 10)):
            count, end = min(count, len(order)), min(count * rho, len(order))
            if count < end:
                worst = group[status[order[count - 1]]]
                end = max(count, min([end, *(i for i in range(count, end) if group[status[order[i]]] != worst)]))
            short = sorted(order[:end])
            wanted = {"kcenter": [row for row, _ in farthest_first(clean, labelled, short, count, tie)],
                      "facility": most_similar_first(clean, short, count, tie),
                      "classpair": few_of_a_pair(order[:end], pairs, count)}
            for diversify, rows in wanted.items():
                words = ["--strategy", "dfal-diverse", "--count", str(count), "--max-iter", "1", "--option",
                         f"diversify={diversify}", "--option", f"rho={rho}"]
                run = whatever_the_work if (count, rho) == (7, 10) else lambda *rest: select(*rest[:3], *rest[3])
                found = run(dfal, folder, backend, [*words, "--scores", "s.h5"])
                what = f"dfal-diverse {diversify} {len(labelled)} {count} {rho}"
                assert [q["index"] for q in found] == rows, f"{what}: {[q['index'] for q in found]}, expected {rows}"
                assert all(q["score"] == margin[q["index"]] for q in found), f"{what}: {found}"
                if count == 7:
                    assert select(dfal, folder, backend, *words) == found, f"{what}: margins of its own give others"
    base = ["--strategy", "dfal-diverse", "--count", "5"]
    plain = select(dfal, folder, backend, *base)
    assert plain == select(dfal, folder, backend, *base, "--option", "diversify=kcenter", "--option", "rho=10")
    named = select(dfal, folder, backend, *base, "--option", "node=input")
    assert [q["index"] for q in named] == [q["index"] for q in plain], "dfal-diverse: the input is what the last Gemm reads"
    refused(dfal, folder, backend, [*base, "--option", "diversify=none"], 64, "expected kcenter, facility or classpair")
    refused(dfal, folder, backend, [*base, "--option", "rho=0"], 64, "rho is 0, expected a whole number from 1")
    refused(dfal, folder, backend, [*base, "--option", "node=fx"], 64, "strategy dfal-diverse: unknown node 'fx'")
    refused(dfal, folder, backend, [*base, "--logits", "l.h5"], 64, "needs margins, which l.h5 does not hold")
    # All rows equal, of two classes.
    write_pool(os.path.join(folder, "pool.h5"), np.full((40, 2, 1, 1), 0.75, np.float32), class_count=2)
    write_linear(os.path.join(folder, "net.h5"), np.array([[1.0, 0], [0, 2]]), np.zeros(2), [2, 1, 1])
    for diversify in ("kcenter", "facility", "classpair"):
        found = select(dfal, folder, backend, *base, "--option", f"diversify={diversify}")
        assert [q["index"] for q in found][0] in range(40) and len({q["index"] for q in found}) == 5, f"dfal-diverse {diversify}: {found}"


@more
def power(dfal, folder, backend):
    """Gumbel noise of (seed, row) on the logarithm of a score that is known without."""
    x, weight, bias = world(9)
    x[50:54] = 0                                # ties of logits: the margin is 0
    write_world(folder, x, weight / 4, 0 * bias, dropout=0.5)
    tie = random_bits(3, 8, np.arange(ROWS))
    with np.errstate(divide="ignore"):
        noise = -np.log(-np.log1p(-uniform(3, 21, np.arange(ROWS))))
    words = ["--count", str(ROWS), "--seed", "3"]
    for name, sign in (("entropy", -1), ("least-confidence", -1), ("margin", 1), ("logit-gap", 1), ("egl-last", -1), ("egl", -1),
                       ("bald", -1), ("nearest-other", 1), ("dfal", 1)):
        plain = select(dfal, folder, backend, "--strategy", name, *words)
        at = {q["index"]: q["score"] for q in plain}
        for beta in ("1", "0.5", "4"):
            with np.errstate(divide="ignore"):
                key = {row: sign * np.log(score) - noise[row] / float(beta) for row, score in at.items()}
            wanted = sorted(at, key=lambda row: (key[row], int(tie[row])))
            line = ["--strategy", name, *words, "--option", f"power={beta}"]
            run = whatever_the_work if name in ("entropy", "dfal") and beta == "1" else lambda *rest: select(*rest[:3], *rest[3])
            found = run(dfal, folder, backend, line)
            assert [q["index"] for q in found] == wanted, f"{name} power {beta}: other rows"
            assert all(q["score"] == at[q["index"]] for q in found), f"{name} power {beta}: other scores"
            assert wanted != [q["index"] for q in plain], f"{name} power {beta}: no noise"
    few = select(dfal, folder, backend, *line[:2], "--count", "7", *line[4:])
    assert [q["index"] for q in few] == wanted[:7], "power: the first seven are others"
    # The chance of the first goes with the power of the score.
    with np.errstate(divide="ignore"):
        first = [np.argmax(np.log([1.0, 2, 5]) * 2 - np.log(-np.log1p(-uniform(seed, 21, np.arange(3))))) for seed in range(4000)]
    assert np.abs(np.bincount(first, minlength=3) / 4000 - np.array([1, 4, 25]) / 30).max() < 0.03, "power: chances"
    for wrong in ("0", "-1", "nan", "much"):
        refused(dfal, folder, backend, ["--strategy", "margin", "--count", "3", "--option", f"power={wrong}"], 64, f"power is {wrong}, expected")
    refused(dfal, folder, backend, ["--strategy", "random", "--count", "3", "--option", "power=1"], 64, "strategy random: ")


def k_means(x, clusters, seed):
    """Which cluster each row of x is in: k-means++, then Lloyd with centres in float32, every distance looked at."""
    square = lambda c: ((x - c.astype(np.float64)) ** 2).sum(1)
    uniform = lambda k: float(int(random_bits(seed, 22, k)) >> 11) / 2.0 ** 53
    centres = [x[int(uniform(0) * len(x))].astype(np.float32)]
    while len(centres) < clusters:
        total = np.cumsum(np.min([square(c) for c in centres], 0))
        if total[-1] == 0:
            break
        centres.append(x[np.searchsorted(total, uniform(len(centres)) * total[-1], "right")].astype(np.float32))
    for _ in range(100):
        cluster = np.argmin([square(c) for c in centres], 0)
        moved = [x[cluster == k].mean(0).astype(np.float32) if (cluster == k).any() else c for k, c in enumerate(centres)]
        if all((a == b).all() for a, b in zip(moved, centres)):
            break
        centres = moved
    return cluster, len(centres)


def most_typical(h, candidates, labelled, count, most, tie, seed):
    rows = np.array([row for row in [*candidates, *labelled] if np.isfinite(h[row]).all()], int)
    taken = np.isin(rows, labelled)
    cluster, clusters = k_means(h[rows], min(int(taken.sum()) + count, most), seed)
    score = np.zeros(len(rows))
    for i in range(len(rows)):
        others = (cluster == cluster[i]) & (np.arange(len(rows)) != i)
        near = np.sort(np.sqrt(((h[rows[others]] - h[rows[i]]) ** 2).sum(1)))[:20]
        with np.errstate(divide="ignore"):
            score[i] = 1 / near.mean() if len(near) else 0
    chosen = []
    while len(chosen) < count and not taken.all():
        members = [np.flatnonzero(cluster == k) for k in range(clusters)]
        k = min((k for k in range(clusters) if not taken[members[k]].all()), key=lambda k: (taken[members[k]].sum(), -len(members[k]), k))
        i = min(members[k][~taken[members[k]]], key=lambda i: (-score[i], int(tie[rows[i]])))
        taken[i] = True
        chosen.append((rows[i], score[i]))
    return chosen


def in_order(queries, wanted, what):
    """These rows with these scores, one after the other."""
    assert [q["index"] for q in queries] == [row for row, _ in wanted], f"{what}: other rows"
    for query, (_, score) in zip(queries, wanted):
        found = np.inf if query["score"] is None else query["score"]
        assert found == score or (np.isfinite(score) and abs(found - score) <= 1e-12 * score), f"{what}: {query}, expected {score}"


@more
def typiclust(dfal, folder, backend):
    x, weight, _ = world(7)
    x[45], weight[:, 0] = 0, [1, 2, 0, 1]
    x[45, 0] = 3e38                             # finite, but one of its logits is not
    x[46] = np.nan                              # labelled below
    bias = np.zeros(CLASSES)
    with np.errstate(over="ignore"):
        f = (x.astype(np.float64) @ weight.T + bias).astype(np.float32).astype(np.float64)
    seed, tie = 5, random_bits(5, 8, np.arange(ROWS))
    usable = [row for row in range(ROWS) if row not in (NAN_ROW, 45)]
    for labelled in ([], [5], [46, *TWIN_ROWS[:1], *range(100, 120)]):
        labels = np.full(ROWS, -1)
        labels[labelled] = 1
        write_world(folder, x, weight, bias, labels)
        left = [row for row in usable if row not in labelled]
        for node, h, count, most in (("fc", f, 1, 500), ("fc", f, 12, 500), ("fc", f, 40, 6), ("fc", f, ROWS + 50, 500)):
            words = ["--strategy", "typiclust", "--count", str(count), "--seed", str(seed), "--option", f"node={node}"]
            if most != 500:
                words += ["--option", f"clusters={most}"]
            wanted = most_typical(h, left, [row for row in labelled if row != 46], min(count, ROWS - len(labelled)), most, tie, seed)
            in_order(whatever_the_work(dfal, folder, backend, words), wanted, f"typiclust {labelled[:2]} {count} {most}")
    # The features that nobody named; row 45 is chosen or not by its logits, so it is taken out.
    x[45, 0] = 1
    write_world(folder, x, weight, bias)
    wanted = most_typical(x.astype(np.float64), [row for row in range(ROWS) if row not in (NAN_ROW, 46)], [], 9, 500, tie, seed)
    in_order(select(dfal, folder, backend, "--strategy", "typiclust", "--count", "9", "--seed", str(seed)), wanted, "typiclust of the last layer")
    words = ("--strategy", "typiclust", "--count", "5")
    refused(dfal, folder, backend, [*words, "--option", "node=fx"], 64, "strategy typiclust: unknown node 'fx'")
    refused(dfal, folder, backend, [*words, "--option", "clusters=0"], 64, "clusters is 0, expected a whole number from 1")
    refused(dfal, folder, backend, [*words, "--logits", "l.h5"], 64, "needs features, which l.h5 does not hold")
    # All features equal, two classes: one cluster, whose rows are infinitely typical, in the order of ties.
    write_pool(os.path.join(folder, "pool.h5"), np.ones((30, 2, 1, 1), np.float32), class_count=2)
    write_linear(os.path.join(folder, "net.h5"), np.eye(2), np.zeros(2), [2, 1, 1])
    tie = random_bits(1, 8, np.arange(30))
    in_order(select(dfal, folder, backend, "--strategy", "typiclust", "--count", "50"),
             [(row, np.inf) for row in sorted(range(30), key=lambda row: int(tie[row]))], "typiclust of equal rows")


def average_linkage(h, clusters):
    """Merge the two nearest clusters, by the mean distance of their rows, until there are so many; equal rows anyway."""
    sums = np.sqrt(((h[:, None, :] - h[None, :, :]) ** 2).sum(-1))
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
    turns = sorted((sorted(members) for members in average_linkage(h[ranked], count)), key=lambda members: (len(members), members[0]))
    chosen = [members[turn] for turn in range(len(ranked)) for members in turns if turn < len(members)]
    return [(ranked[i], margin[ranked[i]]) for i in chosen[:count]]


@more
def cluster_margin(dfal, folder, backend):
    random = np.random.default_rng(8)
    _, weight, _ = world(8)
    x = (random.integers(-8192, 8193, (ROWS, SIZE)) / 4096).astype(np.float32)   # fine enough that no two distances are equal
    x[TWIN_ROWS[1]] = x[TWIN_ROWS[2]] = x[TWIN_ROWS[0]]
    x[40:44] = 0
    x[NAN_ROW, 3] = np.nan
    weight[:, 0] = [1, 2, 0, 1]
    x[45], x[45, 0] = 0, 3e38                   # finite, but one of its logits is not
    tie = random_bits(1, 8, np.arange(ROWS))
    with np.errstate(over="ignore", invalid="ignore"):
        f = (x.astype(np.float64) @ weight.T).astype(np.float32).astype(np.float64)
        margin = np.where(np.isfinite(f).all(1), expected(f)["margin"][0], np.nan)
    for labelled in ([], [5], list(range(100, 120))):
        labels = np.full(ROWS, -1)
        labels[labelled] = 1
        write_world(folder, x, weight, np.zeros(CLASSES), labels)
        left = [row for row in range(ROWS) if row not in labelled]
        for node, h, count in ((None, x, 1), ("fc", f, 7), (None, x, 15), (None, x, 30), (None, x, ROWS + 50)):
            words = ["--strategy", "cluster-margin", "--count", str(count), *(["--option", f"node={node}"] if node else [])]
            wanted = in_turns(h.astype(np.float64), margin, left, count, tie)
            in_order(whatever_the_work(dfal, folder, backend, words), wanted, f"cluster-margin {labelled[:2]} {count}")
    subprocess.run([dfal, "-q", "--backend", backend, "logits", "net.h5", "pool.h5", "--force", "-o", "l.h5"], cwd=folder, check=True)
    in_order(select(dfal, folder, backend, *words, "--logits", "l.h5"), wanted, "cluster-margin of a logits file")
    words = ("--strategy", "cluster-margin", "--count", "5001")
    refused(dfal, folder, backend, [*words, "--option", "node=fx"], 64, "strategy cluster-margin: unknown node 'fx'")
    refused(dfal, folder, backend, [*words, "--scores", "s.h5"], 64, "needs logits, which s.h5 does not hold")
    # All features equal, two classes: one cluster, in the order of ties. More than it clusters: refused.
    write_linear(os.path.join(folder, "net.h5"), np.eye(2), np.zeros(2), [2, 1, 1])
    write_pool(os.path.join(folder, "pool.h5"), np.ones((30, 2, 1, 1), np.float32), class_count=2)
    in_order(select(dfal, folder, backend, *words), [(row, 0.0) for row in sorted(range(30), key=lambda row: int(tie[row]))],
             "cluster-margin of equal rows")
    write_pool(os.path.join(folder, "pool.h5"), np.ones((5001, 2, 1, 1), np.float32), class_count=2)
    refused(dfal, folder, backend, words, 64, "chooses among 5000 candidates, 5001 are asked for: expected at most 5000")


def shared_passes(x, weight, bias, ratio, passes, seed):
    """p [passes, rows, classes] with masks that are the same for every row."""
    drawn, element = int(random_bits(seed, 17, 0)), np.arange(SIZE, dtype=np.uint64)
    p = []
    for t in range(passes):
        kept = philox(drawn, 2, t, element // np.uint64(4))[np.arange(SIZE), element % np.uint64(4)] >= int(ratio * 2 ** 32)
        p.append(softmax((x * kept / (1 - ratio)) @ weight.T + bias, 1))
    return np.array(p)


def joint_information(p, rows):
    """I of the rows' labels and the pass, over all answers to all of them."""
    def entropy(q):
        return -np.where(q > 0, q * np.log(np.where(q > 0, q, 1)), 0)
    together = np.ones((len(p), 1))
    for row in rows:
        together = (together[:, :, None] * p[:, row, None, :]).reshape(len(p), -1)
    return entropy(together.mean(0)).sum() - sum(entropy(p[:, row]).sum() for row in rows) / len(p)


@more
def batchbald(dfal, folder, backend):
    x, weight, bias = world(9)
    clean = np.nan_to_num(x.astype(np.float64))
    left = [row for row in range(ROWS) if row != NAN_ROW]
    for ratio, passes, seed, most, count in ((0.5, 10, 1, 1024, 5), (0.75, 3, 77, 64, 4), (0.5, 1, 2, 1000, 3), (0.5, 10, 3, 300, 8)):
        write_world(folder, x, weight, bias, dropout=ratio)
        p, tie = shared_passes(clean, weight, bias, ratio, passes, seed), random_bits(seed, 8, np.arange(ROWS))
        words = ["--strategy", "batchbald", "--count", str(count), "--seed", str(seed), "--option", f"configurations={most}",
                 "--option", f"passes={passes}"]
        found = whatever_the_work(dfal, folder, backend, words)
        chosen, sure = [], 0.0
        for query in found:
            gains = {row: joint_information(p, [*chosen, row]) - sure for row in left if row not in chosen}
            best, what = max(gains.values()), f"batchbald {passes} {most}: {query}"
            exact = CLASSES ** len(chosen) <= most
            assert abs(query["score"] - gains[query["index"]]) <= (1e-12 if exact else 0.01), f"{what}, it adds {gains[query['index']]}"
            assert gains[query["index"]] >= best - (1e-12 if exact else 0.01), f"{what}, another row adds {best}"
            chosen.append(query["index"])
            sure += gains[query["index"]]
        if passes == 1:
            assert chosen == sorted(left, key=lambda row: int(tie[row]))[:count], "batchbald of one pass: nothing is gained"
    assert most < CLASSES ** count, "no answers were drawn"
    words = ("--strategy", "batchbald", "--count", str(ROWS + 50))
    whole = select(dfal, folder, backend, *words, "--option", "configurations=16")
    assert sorted(query["index"] for query in whole) == left, "batchbald: not all finite rows came back"
    refused(dfal, folder, backend, [*words, "--option", "configurations=0"], 64, "configurations is 0, expected a whole number from 1")
    refused(dfal, folder, backend, [*words, "--scores", "s.h5"], 64, "needs stochastic passes, which s.h5 does not hold")
    refused(dfal, folder, backend, ["--memory", "60M", *words, "--option", "passes=10000"], 69, "the probabilities of all passes take 4")
    write_world(folder, x, weight, bias)
    refused(dfal, folder, backend, words, 65, "the network has none")
    # All features equal, two classes: after the first the order of ties, and each adds less.
    write_pool(os.path.join(folder, "pool.h5"), np.ones((30, SIZE, 1, 1), np.float32), class_count=2)
    write_linear(os.path.join(folder, "net.h5"), weight[:2], np.zeros(2), [SIZE, 1, 1], 0.5)
    p, tie = shared_passes(np.ones((30, SIZE)), weight[:2], np.zeros(2), 0.5, 10, 1), random_bits(1, 8, np.arange(30))
    found = select(dfal, folder, backend, *words[:2], "--count", "6")
    order = sorted(range(30), key=lambda row: int(tie[row]))
    for i, query in enumerate(found):
        gain = joint_information(p, order[:i + 1]) - joint_information(p, order[:i])
        assert query["index"] == order[i] and abs(query["score"] - gain) <= 1e-12, f"batchbald of equal rows: {query}, expected {gain}"


def main():
    dfal, backends = os.path.abspath(sys.argv[1]), sys.argv[2].split(",")
    checked = 0
    for classes, count in ((2, 400), (3, 300), (10, 300), (1000, 120)):
        with tempfile.TemporaryDirectory() as folder:
            f = logits(classes, count)
            write_pool(os.path.join(folder, "pool.h5"), f[:, :, None, None], class_count=classes)
            write_linear(os.path.join(folder, "net.h5"), np.eye(classes), np.zeros(classes), [classes, 1, 1])
            for backend in backends:
                run = [dfal, "-q", "--backend", backend]
                subprocess.run([*run, "logits", "net.h5", "pool.h5", "--force", "-o", "l.h5"], cwd=folder, check=True)
                subprocess.run([*run, "score", "net.h5", "pool.h5", "--force", "-o", "s.h5", "--max-iter", "1",
                                "--classes", "2"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
                with h5py.File(os.path.join(folder, "l.h5")) as file:
                    rows = np.isfinite(f).all(1)
                    assert (file["logits"][()][rows] == f[rows]).all(), "the identity network changed the logits"
                for name, (score, largest) in expected(np.where(np.isfinite(f), f, 0)).items():
                    words = ("--strategy", name, "--count", str(count))
                    whole = select(dfal, folder, backend, *words)
                    compare(f, whole, score, largest, f"{name} {classes} classes {backend}")
                    assert select(dfal, folder, backend, *words, "--logits", "l.h5") == whole, f"{name}: --logits differs"
                    if name == "logit-gap":
                        assert select(dfal, folder, backend, *words, "--scores", "s.h5") == whole, "--scores differs"
                    checked += 1
    for check in MORE:
        for backend in backends:
            with tempfile.TemporaryDirectory() as folder:
                check(dfal, folder, backend)
                checked += 1
    print(f"{checked} rankings agree with NumPy")


main()
