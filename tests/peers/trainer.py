#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""examples/trainer_torch.py under `dfal run --trainer`: two rounds on drawn digits, cut off and continued, and a backbone.

    trainer.py BUILD      needs PyTorch, torchvision and h5py
"""
import csv
import glob
import os
import shutil
import signal
import subprocess
import sys
import time

import h5py
import torch
import torchvision

from common import ROOT, arguments, call, pictures, scaling, table, write_pool

TRAINER = os.path.join(ROOT, "examples", "trainer_torch.py")


def check(condition, message):
    if not condition:
        raise SystemExit(f"FAILED: {message}")


def rows_of(folder):
    """curve.csv without the seconds."""
    with open(os.path.join(folder, "curve.csv"), encoding="utf-8", newline="") as file:
        return [{k: v for k, v in row.items() if not k.endswith("_seconds")} for row in csv.DictReader(file)]


def same_runs(first, second):
    check(rows_of(first) == rows_of(second), f"{first} and {second} differ in curve.csv")
    with open(os.path.join(first, "queries.csv"), "rb") as a, open(os.path.join(second, "queries.csv"), "rb") as b:
        check(a.read() == b.read(), f"{first} and {second} differ in queries.csv")
    for path in glob.glob(os.path.join(first, "networks", "*.h5")):
        with h5py.File(path) as a, h5py.File(os.path.join(second, "networks", os.path.basename(path))) as b:
            a["parameters"].visititems(lambda name, item: check(  # pylint: disable=cell-var-from-loop
                not isinstance(item, h5py.Dataset) or item[()].tobytes() == b["parameters"][name][()].tobytes(),
                f"{path}: {name} differs"))


def begun(folder):
    """Has the trainer of round 1 been started?"""
    return os.path.exists(os.path.join(folder, "state", "dfal-1.trainer", "trainer-1.log"))


def digits(found, work):
    """Two rounds of two strategies; stopped by SIGTERM and killed in round 1, each continued to the same run."""
    train, test = os.path.join(work, "train.h5"), os.path.join(work, "test.h5")
    call([found.dfal, "-q", "synth", "-n", 600, "-o", train])
    call([found.dfal, "-q", "synth", "-n", 300, "--split", "test", "-o", test])
    trainer = f'"{sys.executable}" -W ignore "{TRAINER}" --threads 1 --epochs 20'
    line = [found.dfal, "-q", "run", "--preset", "quickstart", "--train", train, "--test", test, "--trainer", trainer]
    for setting in "initial=60", "query=40", "annotations=100", "trials=1", "options={dfal: {subsample: 60}}":
        line += ["--set", setting]
    whole = os.path.join(work, "whole")
    begin = time.monotonic()
    call([*line, "-o", whole])
    print(f"two rounds of two strategies: {time.monotonic() - begin:.0f} s", flush=True)
    rows = rows_of(whole)
    check([(row["strategy"], row["round"], row["annotations"]) for row in rows] ==
          [("dfal", "0", "60"), ("dfal", "1", "100"), ("random", "0", "60"), ("random", "1", "100")], f"{rows}")
    check(int(rows[1]["labelled"]) > 120, f"no twins: {rows[1]}")
    check(rows[0]["accuracy"] == rows[2]["accuracy"], "the same labels and seed gave two networks")
    check(all(float(row["accuracy"]) > 0.2 for row in rows) and float(rows[1]["accuracy"]) > float(rows[0]["accuracy"]), f"{rows}")
    table(["strategy", "round", "labelled", "accuracy"],
          [[row["strategy"], row["round"], row["labelled"], row["accuracy"]] for row in rows])
    for number in signal.SIGTERM, signal.SIGKILL:
        out = os.path.join(work, number.name)
        process = subprocess.Popen([*map(str, line), "-o", out], stderr=subprocess.PIPE)
        limit = time.monotonic() + 300
        while not begun(out) and process.poll() is None and time.monotonic() < limit:
            time.sleep(0.05)
        time.sleep(2)
        process.send_signal(number)
        _, err = process.communicate(timeout=300)
        check(process.returncode == (75 if number == signal.SIGTERM else -9), f"{number.name}: {process.returncode} {err}")
        if number == signal.SIGTERM:
            check(glob.glob(os.path.join(out, "state", "*", "*.part")), "the trainer's checkpoint is not kept")
        call([*line, "-o", out, "--resume"])
        same_runs(whole, out)
        print(f"{number.name} in round 1, then resumed: the same run", flush=True)


def backbone(found, work):
    """By hand, as in docs/TUTORIAL.md: a network of torchvision's from weights, with twins of `select` whose labels came later."""
    raw, labels = pictures(96, 3, 64, 0)
    scale, offset = scaling(3)
    pool, net = os.path.join(work, "pictures.h5"), os.path.join(work, "model.onnx")
    write_pool(pool, raw, classes=0, scale=scale, offset=offset)
    weights = os.path.join(work, "imagenet.pt")
    torch.manual_seed(1)
    torch.save(torchvision.models.resnet18(num_classes=1000).state_dict(), weights)
    with h5py.File(pool, "r+") as file:
        del file.attrs["class_count"]
        file["ids"] = [f"=cmd/{i}.jpg" for i in range(96)]

    def write_labels(name, count):
        path = os.path.join(work, name)
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "label", "annotator", "status"])
            writer.writerows([f"'=cmd/{i}.jpg", labels[i], "me", "label"] for i in range(count))
            writer.writerow(["=cmd/95.jpg", "", "me", "skip"])
        return path

    line = [sys.executable, "-W", "ignore", TRAINER, "--backbone", "resnet18", "--threads", "2", "--epochs", "1", "--pool", pool]
    check(set(labels[:60]) == set(range(10)), "a class is missing")
    call([*line, "--weights", weights, "--labels", write_labels("first.csv", 60), "--out", net])
    check("10" in call([found.dfal, "info", net]), "not ten classes")
    queries, twins = os.path.join(work, "q.csv"), os.path.join(work, "twins.h5")
    call([found.dfal, "-q", "select", net, pool, "--labels", os.path.join(work, "first.csv"), "--strategy", "dfal", "--count", 4,
          "--twins", twins, "-o", queries])
    with h5py.File(twins) as file:
        check((file["label"][()] == -1).all() and len(file["label"]) > 0, "select knows labels")
    # Weights with ten classes keep their last layer: without an epoch nothing changes.
    again, all_labels = os.path.join(work, "again.onnx"), write_labels("second.csv", 90)
    said = call([*line, "--weights", net + ".pt", "--labels", all_labels, "--twins", twins, "--out", again, "--epochs", "0"])
    check(said.startswith("round 0: 9"), said)
    for key, value in torch.load(net + ".pt", weights_only=True).items():
        check(torch.equal(value, torch.load(again + ".pt", weights_only=True)[key]), f"{key} has changed")
    print(f"resnet18 by hand: {said.strip()}", flush=True)


def main():
    found = arguments(__doc__.splitlines()[0])
    work = os.path.join(found.work, "trainer")
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    backbone(found, work)
    digits(found, work)
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
