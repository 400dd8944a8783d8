# SPDX-License-Identifier: Apache-2.0
"""Replays DeepFool in float64 with NumPy alone and holds scores files against it.

Usage: replay.py DFAL BACKEND[,BACKEND...] [POOL.h5]

Written from the description of the scores (docs/NUMERICS.md), not from dfal's sources: it reads the network file,
runs forward and vector-Jacobian products itself, and follows each preset's loop sample by sample. Without POOL the
tool's embedded digits are drawn. Exit code 77: NumPy or h5py is missing."""
import json
import os
import subprocess
import sys
import tempfile

try:
    import h5py
    import numpy as np
except ImportError:
    print("NumPy or h5py is missing: skipped")
    sys.exit(77)

SAMPLES = 50


# ---- The network -------------------------------------------------------------------------------

def windows(x, kernel, stride):
    """[C, OH, OW, kh, kw] view of x [C, H, W]."""
    view = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(1, 2))
    return view[:, :: stride[0], :: stride[1]]


class Conv:
    def __init__(self, attributes, weight, bias):
        assert list(attributes["dilations"]) == [1, 1] and attributes["group"] == 1
        self.weight, self.bias = weight, bias
        self.stride, self.pads = attributes["strides"], attributes["pads"]

    def forward(self, x):
        t, l, b, r = self.pads
        self.padded = np.pad(x, ((0, 0), (t, b), (l, r)))
        self.shape = x.shape
        view = windows(self.padded, self.weight.shape[2:], self.stride)
        return np.einsum("chwij,ocij->ohw", view, self.weight, optimize=True) + self.bias[:, None, None]

    def backward(self, dy):
        n, _, oh, ow = dy.shape
        kh, kw = self.weight.shape[2:]
        dx = np.zeros((n,) + self.padded.shape)
        for i in range(kh):
            for j in range(kw):
                part = np.einsum("nohw,oc->nchw", dy, self.weight[:, :, i, j], optimize=True)
                dx[:, :, i:i + oh * self.stride[0]:self.stride[0], j:j + ow * self.stride[1]:self.stride[1]] += part
        t, l, _, _ = self.pads
        return dx[:, :, t:t + self.shape[1], l:l + self.shape[2]]


class Gemm:
    def __init__(self, _, weight, bias):
        self.weight, self.bias = weight, bias

    def forward(self, x):
        self.shape = x.shape
        return self.weight @ x.reshape(-1) + self.bias

    def backward(self, dy):
        return (dy.reshape(len(dy), -1) @ self.weight).reshape((len(dy),) + self.shape)


class Relu:
    def __init__(self, *_):
        pass

    def forward(self, x):
        self.alive = x > 0  # the derivative at 0 is 0
        return np.where(self.alive, x, 0)

    def backward(self, dy):
        return dy.reshape((len(dy),) + self.alive.shape) * self.alive


class MaxPool:
    def __init__(self, attributes, *_):
        assert list(attributes["pads"]) == [0, 0, 0, 0] and not attributes["ceil_mode"]
        self.kernel, self.stride = attributes["kernel_shape"], attributes["strides"]

    def forward(self, x):
        view = windows(x, tuple(self.kernel), self.stride)
        flat = view.reshape(view.shape[:3] + (-1,))
        self.arg, self.shape = flat.argmax(axis=3), x.shape  # the first of equals
        return flat.max(axis=3)

    def backward(self, dy):
        dy = dy.reshape((len(dy),) + self.arg.shape)
        dx = np.zeros((len(dy),) + self.shape)
        c, h, w = np.indices(self.arg.shape)
        row = h * self.stride[0] + self.arg // self.kernel[1]
        col = w * self.stride[1] + self.arg % self.kernel[1]
        for n in range(len(dy)):
            np.add.at(dx[n], (c, row, col), dy[n])
        return dx


class Reshape:
    """Flatten, and dropout, which is the identity in evaluation."""

    def __init__(self, *_):
        pass

    def forward(self, x):
        self.shape = x.shape
        return x

    def backward(self, dy):
        return dy.reshape((len(dy),) + self.shape)


OPS = {"Conv": Conv, "Gemm": Gemm, "Relu": Relu, "MaxPool": MaxPool, "Flatten": Reshape, "Dropout": Reshape}


class Network:
    """A chain of nodes; the graph's order is followed by names, not by position."""

    def __init__(self, path):
        with h5py.File(path, "r") as f:
            text = f["graph"][()]
            graph = json.loads(text)
            by_input = {node["inputs"][0]: node for node in graph["nodes"]}
            self.nodes, name = [], "input"
            while name != graph["output"]:
                node = by_input[name]
                name = node["name"]
                group = f["parameters"][name] if "parameters" in f and name in f["parameters"] else {}
                values = [np.asarray(group[k], dtype=np.float64) if k in group else 0.0 for k in ("weight", "bias")]
                self.nodes.append(OPS[node["op"]](node.get("attributes", {}), *values))

    def forward(self, x):
        for node in self.nodes:
            x = node.forward(x)
        return x.reshape(-1)

    def backward(self, dlogits):
        for node in reversed(self.nodes):
            dlogits = node.backward(dlogits)
        return dlogits


# ---- DeepFool ----------------------------------------------------------------------------------

PRESETS = {
    "lts4": {"overshoot": 0.02, "floor": 1e-4, "max_iter": 50, "classes": 10},
    "paper": {"overshoot": 0.02, "floor": 0.0, "max_iter": 50, "classes": 10, "plain": True},
    "dfal2018": {"overshoot": 0.0, "floor": 0.0, "max_iter": 10, "classes": None, "fail_inf": True},
    "foolbox": {"overshoot": 0.02, "floor": 1e-4, "max_iter": 50, "classes": 10, "box": (0.0, 1.0)},
    "deepal": {"overshoot": 0.0, "floor": 0.0, "max_iter": 50, "classes": None, "squared": True},
}


def norm(v, p):
    v = np.abs(v.reshape(-1))
    if np.isinf(p):
        return v.max()
    return v.sum() if p == 1 else (v ** p).sum() ** (1 / p)


def direction(g, p):
    if p == 2:
        return g / norm(g, 2)
    if np.isinf(p):
        return np.sign(g)
    if p == 1:
        out = np.zeros(g.size)
        j = int(np.argmax(np.abs(g.reshape(-1))))
        out[j] = np.sign(g.reshape(-1)[j])
        return out.reshape(g.shape)
    q = p / (p - 1)
    return np.abs(g) ** (q - 1) * np.sign(g) / norm(g, q) ** (q - 1)


def nearest_boundary(network, f, label, candidates, p, unit):
    """Distance to the nearest of the linearised boundaries at the point whose forward f was the last, and the gradient
    towards it; infinity and None where no gradient leads anywhere."""
    q = 1.0 if np.isinf(p) else np.inf if p == 1 else p / (p - 1)
    cotangents = np.zeros((len(candidates), len(f)))
    cotangents[np.arange(len(candidates)), candidates] = 1
    cotangents[:, label] -= 1
    best, nearest = None, np.inf
    for k, g in zip(candidates, network.backward(cotangents) * unit):
        n = norm(g, q)
        if n > 0 and np.isfinite(n) and abs(f[k] - f[label]) / n < nearest:
            best, nearest = g, abs(f[k] - f[label]) / n
    return nearest, best


def start(network, x0, classes):
    """Label, candidate classes, and what a result begins with; a TIE is whole."""
    f = network.forward(x0)
    order = np.argsort(-f, kind="stable")
    label, candidates = int(order[0]), order[1:len(f) if classes is None else min(classes, len(f))]
    result = {"label": label, "logit_gap": f[label] - f[candidates[0]], "first_margin": np.inf, "adversarial_class": -1}
    if f[label] == f[candidates[0]]:
        result.update(status="TIE", margin=0.0, iterations=0, first_margin=0.0, adversarial_class=int(candidates[0]))
    return label, candidates, result


def bisect(network, x0, x, label, now, times):
    """The smallest known part of the way from x0 to x that ends in another class, and that class; `now` is that of x."""
    low, high = 0.0, 1.0
    for _ in range(times):
        middle = (low + high) / 2
        there = int(np.argmax(network.forward(x0 + middle * (x - x0))))
        if there == label:
            low = middle
        else:
            high, now = middle, there
    return high, now


def deepfool(network, x0, p=2.0, unit=1.0, refine=False, overshoot=0.02, floor=1e-4, max_iter=50, classes=10,
             plain=False, fail_inf=False, squared=False, box=None):
    """One sample: dict of what a scores file holds. unit: length of a raw unit, r is measured in those."""
    def at(r, reach):
        x = x0 + reach * unit * r
        return x if box is None else np.clip(x, *box)

    label, candidates, result = start(network, x0, classes)
    if "status" in result:
        return result
    r, i = np.zeros_like(x0), 0
    while True:
        x = at(r, 1 + overshoot)
        now = int(np.argmax(network.forward(x)))
        length = norm((x - x0) / unit, p) if box is not None else (1 + overshoot) * norm(r, p)
        if now != label:
            status = "OK"
            break
        if i == max_iter:
            status, now = "MAX_ITER", -1
            break
        f = network.forward(at(r, 1.0) if plain else x)
        nearest, best = nearest_boundary(network, f, label, candidates, p, unit)
        if best is None:
            return dict(result, status="ZERO_GRAD", margin=np.inf, iterations=i)
        if i == 0:
            result["first_margin"] = nearest
        r = r + (nearest + floor) * direction(best, p)
        i += 1
    if refine and status == "OK":
        part, now = bisect(network, x0, x, label, now, 20)
        length *= part
    margin = length ** 2 if squared else length
    if fail_inf and status == "MAX_ITER":
        margin = np.inf
    return dict(result, status=status, margin=margin, iterations=i, adversarial_class=now)


def superdeepfool(network, x0, unit=1.0, refine=False, overshoot=0.02, floor=1e-4, max_iter=50, classes=10, rounds=50):
    """SDF(inf, 1): a walk of DeepFool steps over a boundary, then x0 projected onto that boundary's tangent, and again from
    there, until a projection is over the boundary itself. Points are x, not ways: x - x0 in raw units is (x - x0) / unit."""
    label, candidates, result = start(network, x0, classes)
    if "status" in result:
        return result
    x, iterations, found = x0, 0, None  # found: length, point, class of the nearest point of another class

    def look(x):
        """Logits at x; whether its class is another one, and then the nearest so far."""
        nonlocal found
        f = network.forward(x)
        other = bool(np.all(np.isfinite(f))) and int(np.argmax(f)) != label
        length = np.linalg.norm((x - x0) / unit)
        if other and (found is None or length < found[0]):
            found = length, x, int(np.argmax(f))
        return f, other

    for _ in range(rounds):
        f, other = look(x)
        for _ in range(max_iter):
            if other or not np.all(np.isfinite(f)):
                break
            nearest, best = nearest_boundary(network, f, label, candidates, 2.0, unit)
            if best is None:
                break
            if iterations == 0:
                result["first_margin"] = nearest
            x = x + unit * (1 + overshoot) * (nearest + floor) * direction(best, 2.0)
            iterations += 1
            f, other = look(x)
        if not other:
            break
        cotangent = np.zeros((1, len(f)))
        cotangent[0, int(np.argmax(f))], cotangent[0, label] = 1, -1
        w = network.backward(cotangent)[0] * unit
        along, square = float(np.sum((x - x0) / unit * w)), float(np.sum(w * w))
        if not (square > 0 and np.isfinite(square) and np.isfinite(along) and along != 0):
            break
        x = x0 + unit * (along / square) * w
        if look(x)[1]:
            break
    if found is None:
        at_end = network.forward(x)
        if not np.all(np.isfinite(at_end)):
            return dict(result, status="NONFINITE", margin=np.inf, iterations=iterations, label=-1)
        if iterations < max_iter:
            return dict(result, status="ZERO_GRAD", margin=np.inf, iterations=iterations)
        return dict(result, status="MAX_ITER", margin=np.linalg.norm((x - x0) / unit), iterations=iterations)
    length, x, now = found
    part, now = bisect(network, x0, x, label, now, 20 if refine else 10)
    return dict(result, status="OK", margin=length * part, iterations=iterations, adversarial_class=now)


# ---- Comparison --------------------------------------------------------------------------------

def read_scores(path):
    with h5py.File(path, "r") as f:
        names = f["status"].attrs["names"]
        names = names if isinstance(names, (bytes, str)) else b" ".join(
            n if isinstance(n, bytes) else n.encode() for n in names)
        names = (names.decode() if isinstance(names, bytes) else names).replace(",", " ").split()
        columns = {k: f[k][()] for k in ("margin", "label", "adversarial_class", "iterations", "first_margin",
                                         "logit_gap", "index")}
        columns["status"] = [names[s] for s in f["status"][()]]
    return columns


def close(a, b, tolerance):
    return a == b or abs(a - b) <= tolerance * max(abs(b), 1e-3)


def compare(case, found, expected, on_boundary):
    """Every start value has to agree; 98 % of the ends, for where two boundaries are equally near float32 may take
    the other one. Without overshoot rounding decides whether the last step flipped the sample."""
    wrong = []
    for i, e in enumerate(expected):
        assert found["label"][i] == e["label"], (case, i)
        for key in ("logit_gap", "first_margin"):
            assert close(float(found[key][i]), e[key], 1e-3), (case, i, key, found[key][i], e[key])
        margin = float(found["margin"][i])
        same = close(margin, e["margin"], 1e-3)
        if on_boundary:
            if not (np.isfinite(margin) and np.isfinite(e["margin"])):
                same = True
        else:
            same = same and found["status"][i] == e["status"] and \
                found["adversarial_class"][i] == e["adversarial_class"] and found["iterations"][i] == e["iterations"]
        if not same:
            wrong.append((i, found["status"][i], e["status"], margin, e["margin"]))
    assert len(wrong) <= max(1, len(expected) // 50), (case, wrong)
    finite = [(float(found["margin"][i]), e["margin"]) for i, e in enumerate(expected) if np.isfinite(e["margin"])]
    errors = sorted(abs(a - b) / max(b, 1e-3) for a, b in finite if np.isfinite(a))
    steps = sum(e["iterations"] for e in expected) / len(expected)
    print(f"{case}: {len(expected)} samples, {steps:.1f} steps, median error {errors[len(errors) // 2]:.1e}, "
          f"largest {errors[-1]:.1e}, {len(wrong)} other ends")
    return steps


def linear_sdf(tool, folder, pool, inputs, backends):
    """The boundaries of a linear network are planes: the margin is the distance to the nearest, up to one bisection of ten
    on a way that is 1.02 (distance + 1e-4) long."""
    random = np.random.default_rng(11)
    net, scores = (os.path.join(folder, n) for n in ("linear.h5", "linear-scores.h5"))
    weight, bias = random.normal(size=(10, inputs[0].size)).astype(np.float32), np.zeros(10, np.float32)
    nodes = [{"name": "flat", "op": "Flatten", "inputs": ["input"], "attributes": {}},
             {"name": "fc", "op": "Gemm", "inputs": ["flat"], "attributes": {}}]
    with h5py.File(pool, "r") as p, h5py.File(net, "w") as f:
        f.attrs.update({"format": "dfal-network", "version": 1, "class_count": 10,
                        "input": np.array(inputs[0].shape, np.int64), "scale": p.attrs["scale"], "offset": p.attrs["offset"]})
        f["graph"] = json.dumps({"nodes": nodes, "output": "fc"})
        f["parameters/fc/weight"], f["parameters/fc/bias"] = weight, bias
    network, exact = Network(net), []
    for x in inputs:
        f = network.forward(x)
        apart = np.linalg.norm(weight.astype(np.float64) - weight[f.argmax()], axis=1)
        exact.append(np.delete((f.max() - f) / np.where(apart > 0, apart, 1), f.argmax()).min())
    exact = np.array(exact)
    largest = exact + 1.02 * (exact + 1e-4) / 1024
    replayed = np.array([superdeepfool(network, x)["margin"] for x in inputs])
    assert np.all((replayed >= exact * (1 - 1e-9)) & (replayed <= largest * (1 + 1e-9))), (replayed, exact)
    for backend in backends:
        tool("score", net, pool, "-o", scores, "--force", "--backend", backend, "--range", f"0:{len(inputs)}",
             "--deepfool", "sdf")
        found = read_scores(scores)
        margin = found["margin"].astype(np.float64)
        assert np.all((margin >= exact * (1 - 1e-5)) & (margin <= largest * (1 + 1e-5))), (backend, margin, exact)
        assert np.all(found["iterations"] == 1)
        print(f"sdf of a linear network on {backend}: {len(inputs)} samples, margins within "
              f"{np.max(margin / exact - 1):.1e} of the distances")


def main():
    dfal, backends = sys.argv[1], sys.argv[2].split(",")
    with tempfile.TemporaryDirectory() as folder:
        def tool(*arguments):
            subprocess.run([dfal, "-q", *arguments], check=True, stdout=subprocess.DEVNULL)

        pool, net, scores = (os.path.join(folder, n) for n in ("pool.h5", "net.h5", "scores.h5"))
        if len(sys.argv) > 3:
            pool = sys.argv[3]
        else:
            tool("synth", "-o", pool, "-n", "600")
        tool("train", "--net", "lenet5", pool, "-o", net, "--epochs", "3", "--subset", "600")
        network = Network(net)
        with h5py.File(pool, "r") as f:
            scale, offset = float(np.ravel(f.attrs["scale"])[0]), float(np.ravel(f.attrs["offset"])[0])
            raw = f["samples"][:SAMPLES].astype(np.float64)
        inputs = (raw * scale + offset).astype(np.float32).astype(np.float64)
        cases = [(name, ["--deepfool", name], dict(PRESETS[name]), SAMPLES) for name in PRESETS]
        for p, word in ((np.inf, "linf"), (1.0, "l1"), (3.0, "3")):
            cases.append(("norm " + word, ["--norm", word], dict(PRESETS["lts4"], p=p), 20))
        cases.append(("refine", ["--refine", "bisect"], dict(PRESETS["lts4"], refine=True), 20))
        cases.append(("raw units", ["--units", "raw"], dict(PRESETS["lts4"], unit=scale), 20))
        cases.append(("three classes", ["--classes", "3"], dict(PRESETS["lts4"], classes=3), 20))
        # fifty rounds of a sample are more than a hundred steps
        cases.append(("sdf", ["--deepfool", "sdf"], {}, 12))
        cases.append(("sdf refined", ["--deepfool", "sdf", "--refine", "bisect"], {"refine": True}, 6))
        cases.append(("sdf, raw units, three classes", ["--deepfool", "sdf", "--units", "raw", "--classes", "3"],
                      {"unit": scale, "classes": 3}, 6))
        cases.append(("sdf, two steps a round, no overshoot",
                      ["--deepfool", "sdf", "--max-iter", "2", "--overshoot", "0"], {"max_iter": 2, "overshoot": 0.0}, 6))
        for name, options, parameters, samples in cases:
            replayed = superdeepfool if name.startswith("sdf") else deepfool
            expected = [replayed(network, x, **parameters) for x in inputs[:samples]]
            for backend in backends:
                tool("score", net, pool, "-o", scores, "--force", "--backend", backend, "--range", f"0:{samples}",
                     *options)
                steps = compare(f"{name} on {backend}", read_scores(scores), expected, parameters.get("overshoot", 0.02) == 0)
                assert steps > 1
        linear_sdf(tool, folder, pool, inputs[:20], backends)


if __name__ == "__main__":
    main()
