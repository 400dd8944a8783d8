#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The batched PyTorch DeepFool an expert would write: the peer of `dfal bench deepfool`.

One forward a step for the whole batch, K backwards (one a class), finished samples dropped, no copies that can be
avoided. Reads a dfal network and pool file with h5py and prints one JSON object. Parameters as the preset lts4:
overshoot 0.02 on the total, at most 50 steps, floor 1e-4, the ten classes of highest logits.
"""
import argparse
import json
import time

import h5py
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


def text(value):
    return value.decode() if isinstance(value, bytes) else value


def pads(attributes):
    t, l, b, r = attributes.get("pads", [0, 0, 0, 0])
    return (l, r, t, b)


JOINS = {"Add": torch.add, "Sub": torch.sub, "Mul": torch.mul, "Div": torch.div}


class Network(nn.Module):
    """The graph of a dfal network file, node by node."""

    def __init__(self, path):
        super().__init__()
        with h5py.File(path, "r") as file:
            if text(file.attrs["format"]) != "dfal-network":
                raise SystemExit(f"{path}: not a dfal network")
            graph = json.loads(text(file["graph"][()]))
            self.values = {}
            for node in graph["nodes"]:
                group = file.get(f"parameters/{node['name']}")
                if group is not None:
                    self.values[node["name"]] = {k: torch.from_numpy(group[k][()]) for k in group}
        self.output = graph["output"]
        self.nodes = self.order(graph["nodes"])

    @staticmethod
    def order(nodes):
        done, ordered, left = {"input"}, [], list(nodes)
        while left:
            ready = [n for n in left if all(i in done for i in n["inputs"])]
            if not ready:
                raise SystemExit("the graph has a cycle")
            for node in ready:
                done.add(node["name"])
                ordered.append(node)
                left.remove(node)
        return ordered

    def step(self, node, x):
        op, a, p = node["op"], node.get("attributes", {}), self.values.get(node["name"], {})
        if op == "Conv":
            x[0] = F.pad(x[0], pads(a)) if any(pads(a)) else x[0]
            return F.conv2d(x[0], p["weight"], p.get("bias"), a.get("strides", 1), 0, a.get("dilations", 1),
                            a.get("group", 1))
        if op == "Gemm":
            return F.linear(x[0].flatten(1), p["weight"], p.get("bias"))
        if op == "Relu":
            return F.relu(x[0])
        if op == "MaxPool":
            if any(pads(a)):
                x[0] = F.pad(x[0], pads(a), value=-torch.inf)
            return F.max_pool2d(x[0], a["kernel_shape"], a.get("strides", 1), ceil_mode=bool(a.get("ceil_mode", 0)))
        if op == "AveragePool" and not any(pads(a)):
            return F.avg_pool2d(x[0], a["kernel_shape"], a.get("strides", 1))
        if op == "GlobalAveragePool":
            return x[0].mean((2, 3), keepdim=True)
        if op == "BatchNormalization":
            return F.batch_norm(x[0], p["mean"], p["variance"], p["weight"], p["bias"], eps=a.get("epsilon", 1e-5))
        if op == "Dropout":
            return x[0]
        if op == "Flatten":
            return x[0].flatten(1)
        if op in JOINS:
            return JOINS[op](x[0], x[1])
        if op == "LeakyRelu":
            return F.leaky_relu(x[0], a.get("alpha", 0.01))
        if op == "Clip":
            return F.hardtanh(x[0], a.get("min", -torch.inf), a.get("max", torch.inf))
        if op == "Sigmoid":
            return torch.sigmoid(x[0])
        if op == "HardSigmoid":
            return (a.get("alpha", 0.2) * x[0] + a.get("beta", 0.5)).clamp(0, 1)
        if op == "HardSwish":
            return F.hardswish(x[0])
        if op == "Pad":
            return F.pad(x[0], pads(a), value=a.get("value", 0.0))
        if op == "Reshape":
            return x[0].reshape(-1, *a["shape"])
        if op == "Concat":
            return torch.cat(x, 1)
        raise SystemExit(f"the benchmark does not know {op}")

    def forward(self, x):
        held = {"input": x}
        for node in self.nodes:
            held[node["name"]] = self.step(node, [held[i] for i in node["inputs"]])
        return held[self.output].flatten(1)


def read_pool(path, count):
    with h5py.File(path, "r") as file:
        samples = file["samples"][:count].astype(np.float64)
        channels = (1, -1, 1, 1)
        scale = np.asarray(file.attrs["scale"], np.float64).reshape(channels)
        offset = np.asarray(file.attrs["offset"], np.float64).reshape(channels)
        return torch.from_numpy((samples * scale + offset).astype(np.float32))


def deepfool(network, x0, overshoot=0.02, most=50, floor=1e-4, candidates=10):
    """Margins [n] and steps [n] of a batch; the batch shrinks as samples cross."""
    n = len(x0)
    margins, steps = torch.zeros(n), torch.zeros(n, dtype=torch.int64)
    alive = torch.arange(n)
    r = torch.zeros_like(x0)
    order = label = None
    for step in range(most + 1):
        x = (x0 + (1 + overshoot) * r).requires_grad_(step < most)
        logits = network(x)
        if order is None:
            order = logits.detach().sort(dim=1, descending=True, stable=True).indices[:, :candidates]
            label = order[:, 0]
        keep = logits.detach().argmax(1) == label
        gone = ~keep
        margins[alive[gone]] = (1 + overshoot) * r[gone].flatten(1).norm(dim=1)
        steps[alive[gone]] = step
        if step == most:
            margins[alive[keep]] = (1 + overshoot) * r[keep].flatten(1).norm(dim=1)
            steps[alive[keep]] = step
            break
        if not keep.any():
            break
        picked = logits.gather(1, order)
        gradients = [torch.autograd.grad(picked[:, k].sum(), x, retain_graph=k + 1 < picked.shape[1])[0][keep]
                     for k in range(picked.shape[1])]
        alive, x0, r, order, label = alive[keep], x0[keep], r[keep], order[keep], label[keep]
        with torch.no_grad():
            f = picked.detach()[keep]
            w = torch.stack(gradients[1:], 1) - gradients[0][:, None]
            norm = w.flatten(2).norm(dim=2)
            d = torch.where(norm > 0, (f[:, 1:] - f[:, :1]).abs() / norm, torch.inf)
            best = d.argmin(1)
            row = torch.arange(len(best))
            scale = (d[row, best] + floor) / norm[row, best]
            r = r + scale.view(-1, *[1] * (r.dim() - 1)) * w[row, best]
    return margins, steps


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network")
    parser.add_argument("pool")
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--margins", help="also write the margins to this .npy file")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    network = Network(arguments.network)
    x = read_pool(arguments.pool, arguments.samples)
    deepfool(network, x[:arguments.batch])
    rates = []
    for _ in range(arguments.repeat):
        begin = time.perf_counter()
        parts = [deepfool(network, part) for part in x.split(arguments.batch)]
        rates.append(len(x) / (time.perf_counter() - begin))
    margins = torch.cat([p[0] for p in parts])
    steps = torch.cat([p[1] for p in parts])
    if arguments.margins:
        np.save(arguments.margins, margins.numpy())
    print(json.dumps({"case": "expert", "samples": len(x), "samples_per_second": max(rates),
                      "mean_iterations": float(steps.float().mean()), "margin_sum": float(margins.double().sum()),
                      "threads": arguments.threads, "torch": torch.__version__}))


if __name__ == "__main__":
    main()
