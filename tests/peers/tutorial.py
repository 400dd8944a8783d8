#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every line of docs/TUTORIAL.md, in its order, in an empty folder, on made-up pictures and a network trained on some."""
import csv
import os
import shutil
import subprocess
import sys
import tempfile
import time

import h5py
import torch
import torchvision
from PIL import Image
from torch.nn import functional as F

import common


def lines_of(page):
    """The indented lines: what a reader types."""
    return [line[4:] for line in page.splitlines() if line.startswith("    ")]


def write_pictures(folder, count, size, split, name):
    raw, labels = common.pictures(count, 3, size, split)
    for i, label in enumerate(labels):
        path = os.path.join(folder, name(i, label))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Image.fromarray(raw[i].transpose(1, 2, 0)).save(path, quality=95)
    return raw, labels


def prepare(folder):
    """trained.pt, classes.txt, pictures/ without labels, known/ and test/ with a folder a class."""
    torch.manual_seed(1)
    write_pictures(os.path.join(folder, "pictures"), 700, 80, 1, lambda i, c: f"batch{i // 100}/label{c}-{i:05d}.jpg")
    for split, name, count in ((2, "known", 300), (3, "test", 200)):
        write_pictures(os.path.join(folder, name), count, 40, split, lambda i, c: f"class{c}/{i:05d}.jpg")
    with open(os.path.join(folder, "classes.txt"), "w", encoding="utf-8") as file:
        file.writelines(f"class{c}\n" for c in range(common.CLASSES))
    model = torchvision.models.resnet18(num_classes=common.CLASSES)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    raw, labels = common.pictures(256, 3, 64, 4)
    x, y = torch.from_numpy(common.as_input(raw)), torch.from_numpy(labels).long()
    for rows in [*torch.randperm(256).split(32), *torch.randperm(256).split(32)]:
        optimizer.zero_grad()
        F.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()
    torch.save(model.state_dict(), os.path.join(folder, "trained.pt"))


def check(condition, what):
    if not condition:
        raise RuntimeError(what)


def outcome(folder):
    """What the reader has at the end is what the page says."""
    with open(os.path.join(folder, "queries.csv"), encoding="utf-8", newline="") as file:
        first = [row["id"] for row in csv.DictReader(file)]
    with open(os.path.join(folder, "queries2.csv"), encoding="utf-8", newline="") as file:
        second = [row["id"] for row in csv.DictReader(file)]
    check(len(first) == 500 == len(set(first)), f"round one chose {len(first)} pictures")
    check(len(second) == 200, f"round two chose {len(second)} of the 200 that are left")
    check(not set(first) & set(second), "round two chose pictures that have a label")
    check(all(os.path.exists(os.path.join(folder, "pictures", name)) for name in first), "an id is no path")
    with h5py.File(os.path.join(folder, "twins.h5")) as file:
        check(0 < len(file["samples"]) <= 500, "no twins")
    for name in ("sheet.html", "sheet2.html", "report.html"):
        check(os.path.getsize(os.path.join(folder, name)) > 10000, f"{name} is empty")
    with open(os.path.join(folder, "experiment", "curve.csv"), encoding="utf-8") as file:
        check(len(file.readlines()) == 1 + 2 * 3, "the experiment's curve is not three rounds of two strategies")


def main():
    options = common.arguments(__doc__)
    with open(os.path.join(common.ROOT, "docs", "TUTORIAL.md"), encoding="utf-8") as file:
        lines = lines_of(file.read())
    check(len(lines) > 10, "the tutorial has no lines to run")
    folder = tempfile.mkdtemp(prefix="dfal-tutorial-")
    try:
        prepare(folder)
        os.symlink(common.ROOT, os.path.join(folder, "dfal"))
        os.mkdir(os.path.join(folder, "bin"))
        os.symlink(os.path.abspath(options.dfal), os.path.join(folder, "bin", "dfal"))
        # A link to a venv's Python would lose the venv: a script does not.
        with open(os.path.join(folder, "bin", "python3"), "w", encoding="utf-8") as file:
            file.write(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        os.chmod(os.path.join(folder, "bin", "python3"), 0o755)
        path = os.path.join(folder, "bin") + os.pathsep + os.environ["PATH"]
        rows = []
        for line in lines:
            begin = time.monotonic()
            done = subprocess.run(["bash", "-euo", "pipefail", "-c", line], cwd=folder, capture_output=True, text=True,
                                  env={**os.environ, "PATH": path}, check=False)
            check(done.returncode == 0, f"{line}\nexit {done.returncode}\n{done.stdout}{done.stderr}")
            rows.append([f"{time.monotonic() - begin:.1f}", line if len(line) < 100 else line[:97] + "..."])
        outcome(folder)
        common.table(["s", "line of docs/TUTORIAL.md"], rows)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
