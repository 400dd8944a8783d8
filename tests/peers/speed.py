#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A benchmark, printed and not asserted: `dfal score` beside the batched PyTorch loop of tools/bench_expert.py.

The two take turns on the same pictures and cores; each turn is a process of its own, so that its peak memory is known, and
the best rate of each counts. The loop tries several batch sizes in its process and keeps its best rate."""
import json
import os
import resource
import subprocess
import sys
import time

import torch

from common import NETWORKS, ROOT, arguments, call, export, network, pool, table

sys.path.insert(0, os.path.join(ROOT, "tools"))
from bench_expert import deepfool  # noqa: E402


def expert(found, name):
    """One turn of the PyTorch loop: prints its rate and peak memory."""
    _, x = pool(found.work, name, found.size, found.samples)
    model = network(found.work, name, found.size)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    deepfool(model, x[:4])
    best, sums = (0.0, 0), []
    for batch in (int(b) for b in found.batches.split(",")):
        begin = time.perf_counter()
        parts = [deepfool(model, part) for part in x.split(batch)]
        best = max(best, (len(x) / (time.perf_counter() - begin), batch))
        sums.append(float(torch.cat([p[1] for p in parts]).double().mean()))
    print(json.dumps({"samples_per_second": best[0], "batch": best[1], "iterations": sums[-1],
                      "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


def main():
    found = arguments(__doc__, lambda parser: (
        parser.add_argument("--size", type=int, default=64),
        parser.add_argument("--samples", type=int, default=64),
        parser.add_argument("--turns", type=int, default=2),
        parser.add_argument("--batches", default="8,32", help="batch sizes the PyTorch loop tries"),
        parser.add_argument("--networks", default=",".join(NETWORKS)),
        parser.add_argument("--expert", help="run one turn of the PyTorch loop for a network, then end")))
    if found.expert:
        expert(found, found.expert)
        return
    rows, failures = [], []
    for name in found.networks.split(","):
        onnx = export(found.work, name, found.size, "script")
        path, _ = pool(found.work, name, found.size, found.samples)
        ours, theirs = [], []
        try:
            for _ in range(found.turns):
                ours.append(json.loads(call([found.dfal, "-q", "--json", "--force", "--threads", found.threads, "score",
                                             onnx, path, "-o", os.path.join(found.work, "speed.h5")])))
                theirs.append(json.loads(call([sys.executable, os.path.abspath(__file__), found.build, "--work", found.work,
                                               "--threads", found.threads, "--size", found.size, "--samples",
                                               found.samples, "--batches", found.batches, "--expert", name])))
        except (RuntimeError, subprocess.SubprocessError) as error:
            failures.append(f"{name}: {error}")
            continue
        mine = max(ours, key=lambda turn: turn["samples_per_second"])
        peer = max(theirs, key=lambda turn: turn["samples_per_second"])
        rows.append([name, f"{mine['samples_per_second']:.2f}", f"{peer['samples_per_second']:.2f}",
                     f"{mine['samples_per_second'] / peer['samples_per_second']:.2f}",
                     f"{mine['iterations'] / found.samples:.2f}", f"{peer['iterations']:.2f}",
                     f"{max(t['peak_memory_bytes'] for t in ours) / 1e6:.0f}",
                     f"{max(t['peak_memory_bytes'] for t in theirs) / 1e6:.0f}", str(peer["batch"])])
        print(f"{name}: {rows[-1][1]} and {rows[-1][2]} samples/s", file=sys.stderr, flush=True)
    print(f"{found.samples} samples at {found.size}x{found.size} (lenet 28x28), 10 classes, {found.threads} threads, "
          f"best of {found.turns} turns each, torch {torch.__version__}")
    table(["network", "dfal /s", "torch /s", "ratio", "dfal steps", "torch steps", "dfal MB", "torch MB", "torch batch"],
          rows)
    print("\n".join(failures) if failures else "no limits: a benchmark")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
