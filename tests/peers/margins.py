#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""DeepFool margins of ResNet-18 and MobileNetV2 against PyTorch in float64, sample by sample, as docs/NUMERICS.md tells it.

The preset lts4: norm 2, overshoot 0.02 on the total, at most 50 steps, a floor of 1e-4, the ten classes of highest logits,
fixed at the start. Statuses and predictions have to agree; the 99th percentile of the relative error keeps the limit of
the precision `strict`, or, where float32 itself does not reach it, four times what the float32 loop of
tools/bench_expert.py is off. Only samples closer together than that may change places."""
import os
import sys
import time

import h5py
import numpy as np
import scipy.stats
import torch
from torch import nn

from common import ROOT, arguments, call, export, network, pool, table

sys.path.insert(0, os.path.join(ROOT, "tools"))
import bench_expert  # noqa: E402

OVERSHOOT, STEPS, FLOOR, CANDIDATES = 0.02, 50, 1e-4, 10
NAMES = ["OK", "TIE", "MAX_ITER", "ZERO_GRAD", "NONFINITE", "PRUNED", "UNSCORED"]
SPEARMAN, P99 = 0.9995, 1e-4


def deepfool(model, x0):
    """Margin, status, label, adversarial class, steps and first margin of one sample [1,C,H,W] in float64."""
    with torch.no_grad():
        f = model(x0)[0]
    order = sorted(range(len(f)), key=lambda k: (-float(f[k]), k))[:CANDIDATES]
    label, rest = order[0], order[1:]
    if f[label] == f[rest[0]]:
        return 0.0, "TIE", label, rest[0], 0, 0.0
    r, first = torch.zeros_like(x0), None
    for step in range(STEPS + 1):
        x = x0 + (1 + OVERSHOOT) * r
        with torch.no_grad():
            f = model(x)[0]
        margin = float((1 + OVERSHOOT) * r.norm())
        now = int(f.argmax())
        if now != label:
            return margin, "OK", label, now, step, first
        if step == STEPS:
            return margin, "MAX_ITER", label, -1, step, first
        # A row a class: one pass gives all gradients.
        rows = x.repeat(len(rest), 1, 1, 1).requires_grad_()
        values = model(rows)
        gradients = torch.autograd.grad((values[range(len(rest)), rest] - values[:, label]).sum(), rows)[0]
        best = None
        for k, g in zip(rest, gradients):
            n = float(g.norm())
            if n == 0 or not np.isfinite(n):
                continue
            d = abs(float(f[k] - f[label])) / n
            if best is None or d < best[0]:
                best = d, g, n
        if best is None:
            return np.inf, "ZERO_GRAD", label, -1, step, np.inf
        d, g, n = best
        first = d if first is None else first
        r = r + (d + FLOOR) * g[None] / n
    raise AssertionError


class Depthwise(nn.Module):
    """A depthwise convolution as shifted products: PyTorch's own takes a hundred times as long in float64."""

    def __init__(self, conv):
        super().__init__()
        self.weight, self.stride, self.padding = conv.weight, conv.stride, conv.padding
        self.kernel = conv.kernel_size
        assert conv.bias is None and conv.dilation == (1, 1)

    def forward(self, x):
        (high, wide), (down, right), (top, left) = self.kernel, self.stride, self.padding
        x = nn.functional.pad(x, (left, left, top, top))
        rows, columns = (x.shape[2] - high) // down + 1, (x.shape[3] - wide) // right + 1
        total = 0
        for i in range(high):
            for j in range(wide):
                part = x[:, :, i:i + (rows - 1) * down + 1:down, j:j + (columns - 1) * right + 1:right]
                total = total + part * self.weight[:, 0, i, j, None, None]
        return total


def in_double(model):
    """The network in float64, its parameters without gradients, its depthwise convolutions replaced."""
    model = model.double().requires_grad_(False)
    for part in list(model.modules()):
        for name, child in part.named_children():
            if isinstance(child, nn.Conv2d) and child.groups == child.in_channels == child.out_channels > 1:
                setattr(part, name, Depthwise(child))
    return model


def relative(found, expected):
    return np.abs(found - expected) / np.maximum(expected, 1e-12)


def main():
    found = arguments(__doc__, lambda parser: (
        parser.add_argument("--size", type=int, default=64),
        parser.add_argument("--samples", type=int, default=50),
        parser.add_argument("--networks", default="resnet18,mobilenet_v2")))
    rows, failures = [], []
    for name in found.networks.split(","):
        path, x = pool(found.work, name, found.size, found.samples)
        begin = time.monotonic()
        model = in_double(network(found.work, name, found.size))
        replayed = [deepfool(model, one[None].double()) for one in x]
        seconds = time.monotonic() - begin
        print(f"replayed {name}: {seconds:.0f} s", file=sys.stderr, flush=True)
        margin, status, label, adversary, steps, first = (np.array(column) for column in zip(*replayed))
        scores = os.path.join(found.work, f"{name}-margins.h5")
        try:
            call([found.dfal, "-q", "--force", "--threads", found.threads, "score",
                  export(found.work, name, found.size, "script"), path, "-o", scores])
        except RuntimeError as error:
            failures.append(f"{name}: {error}")
            continue
        with h5py.File(scores) as file:
            ours = {key: file[key][()] for key in ("margin", "status", "label", "adversarial_class", "iterations",
                                                   "first_margin")}
        same = np.array([NAMES[s] for s in ours["status"]]) == status
        finite = np.isfinite(margin)
        # A path that meets a kink in another order takes another turn: those samples are counted, not averaged away.
        walk = (ours["iterations"] == steps) & (ours["adversarial_class"] == adversary)
        error = relative(ours["margin"][finite], margin[finite])
        together = relative(ours["margin"][finite & walk], margin[finite & walk])
        start = relative(ours["first_margin"][finite], first[finite])
        spearman = float(scipy.stats.spearmanr(ours["margin"], margin).statistic)
        p99 = float(np.quantile(error, 0.99))
        single = network(found.work, name, found.size).requires_grad_(False)
        peer = bench_expert.deepfool(single, x)[0].double().numpy()
        peer_spearman = float(scipy.stats.spearmanr(peer, margin).statistic)
        peer_p99 = float(np.quantile(relative(peer[finite], margin[finite]), 0.99))
        percentile = max(P99, 4 * peer_p99)
        # Samples as close together as that may change places; no others.
        swapped = (ours["margin"][:, None] >= ours["margin"][None]) & (
            margin[:, None] < (1 - 2 * percentile) * margin[None])
        for good, what in ((same.all(), f"{(~same).sum()} statuses differ"),
                           ((ours["label"] == label).all(), "predictions differ"),
                           (walk.mean() >= 0.9, f"only {walk.sum()} samples take the same number of steps to one class"),
                           (spearman >= SPEARMAN, f"the rank correlation is {spearman:.7f}, allowed {SPEARMAN}"),
                           (not swapped.any(), f"{swapped.sum()} pairs stand in the wrong order"),
                           (p99 <= percentile, f"the 99th percentile of the error is {p99:.1e}, allowed {percentile:.0e}"),
                           (np.quantile(start, 0.99) <= 10 * percentile, "the first margins differ"),
                           (np.ptp(margin[finite]) > 0.1 * np.median(margin[finite]), "the margins are all alike")):
            if not good:
                failures.append(f"{name}: {what}")
        counts = ", ".join(f"{s} {(status == s).sum()}" for s in NAMES if (status == s).any())
        rows.append([name, str(len(x)), counts, f"{np.median(margin):.3g}", f"{steps.mean():.2f}", f"{spearman:.7f}",
                     f"{peer_spearman:.7f}", f"{np.median(error):.1e}", f"{p99:.1e}", f"{peer_p99:.1e}",
                     f"{error.max():.1e}", f"{together.max():.1e}", f"{start.max():.1e}", f"{walk.sum()}/{len(x)}", f"{seconds:.0f}"])
    print(f"{found.samples} samples at {found.size}x{found.size}, preset lts4, dfal in float32 against PyTorch in float64")
    table(["network", "rows", "statuses", "median margin", "steps", "Spearman", "torch f32", "median error", "p99",
           "torch f32", "largest", "same path", "first margin", "paths", "replay s"], rows)
    print("\n".join(failures) if failures else f"{len(rows)} networks: all within the limits")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
