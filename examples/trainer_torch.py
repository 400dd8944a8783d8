#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A trainer for `dfal run --trainer`, to be copied and changed: PyTorch, augmentation, pretrained weights.

    dfal run run.yaml -o DIR --trainer "python3 trainer_torch.py --backbone resnet18 --weights resnet18.pth"

dfal adds --pool P --labels L.csv [--twins T.h5] [--init PREV] --out NET.onnx --seed S --round R in each round; by hand the
files of `dfal select` do, and --labels may be given again: the files add up, the last line of an id wins. The weights stay beside NET.onnx as NET.onnx.pt, from where --init NET.onnx goes on. On SIGTERM the
last finished epoch stays in NET.onnx.part and the exit code is 75: the same line continues there. Same seed, same network.
"""
import signal

stop = []
for number in signal.SIGTERM, signal.SIGINT, signal.SIGUSR1:
    signal.signal(number, lambda *_: stop.append(1))

import argparse
import csv
import os
import re
import sys

import h5py
import numpy as np

try:
    import torch
    import torchvision
    from torch import nn
    from torch.nn import functional as F
except ImportError as error:  # what reads files goes without
    torch, missing = None, error

OPSET = 17  # of the file that is written; dfal reads 9 to 20


def arguments(words=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in "pool", "out", "twins", "init", "weights":
        parser.add_argument(f"--{name}", required=name in ("pool", "out"))
    parser.add_argument("--labels", required=True, action="append")
    parser.add_argument("--backbone", help="a network of torchvision, such as resnet18; without: a small one")
    for name, value in ("seed", 1), ("round", 0), ("epochs", 30), ("batch", 32), ("threads", 0):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--lr", type=float, default=1e-3)
    return parser.parse_args(words)


def plain(text):
    """dfal writes a ' in front of what a spreadsheet would run."""
    return text[1:] if text[:1] == "'" and text.lstrip("'")[:1] in tuple("=+-@\t\r") else text


def read_labels(paths):
    """{id: label as text}. As dfal reads them: -1, skip and unsure take a label back, an empty one says nothing."""
    found = {}
    for path in paths:
        with open(path, encoding="utf-8-sig", newline="") as file:
            for line in csv.DictReader(file):
                name, text = plain(line["id"]), plain(line["label"])
                if re.sub(r"\.0+$", "", text) == "-1" or (line.get("status") or "label") != "label":
                    found.pop(name, None)
                elif text and text.lower() != "nan" and text != "<NA>":
                    found[name] = text
    return found


def read_rows(args):
    """What the network sees of the labelled rows and, behind them, their twins, float32 [n, C, H, W]; their labels; how many
    are rows of the pool; classes, 0: unknown."""
    lines = read_labels(args.labels)
    with h5py.File(args.pool, "r") as file:
        names, samples = list(file["classes"].asstr()[()]) if "classes" in file else [], file["samples"]
        label_of = {name: names.index(text) if text in names else int(re.sub(r"\.0+$", "", text)) for name, text in lines.items()}
        if "ids" in file:
            row_of = {name: row for row, name in enumerate(file["ids"].asstr()[()])}
        else:  # an id is then FINGERPRINT:ROW
            row_of = {name: int(name.rsplit(":", 1)[1]) for name in lines}
        picked = sorted((row_of[name], label) for name, label in label_of.items())
        scale, offset = (np.asarray(file.attrs[name]).reshape(1, -1, 1, 1) for name in ("scale", "offset"))
        x = (samples[[row for row, _ in picked]] * scale + offset).astype(np.float32)
        labels, classes = [label for _, label in picked], int(file.attrs.get("class_count", 0))
    own = len(x)
    if args.twins:  # to a network the adversarial twin of a query is one more row of the query's class
        with h5py.File(args.twins, "r") as file:
            known = [(i, label_of[name]) for i, name in enumerate(file["id"].asstr()[()]) if name in label_of]
            x = np.concatenate([x, file["samples"][()][[i for i, _ in known]]])
            labels += [label for _, label in known]
    return x, np.array(labels, np.int64), own, classes


def make_network(args, shape, classes, largest):
    if not args.backbone:
        return nn.Sequential(nn.Conv2d(shape[0], 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
                             nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                             nn.Linear(32 * (shape[1] // 4) * (shape[2] // 4), 64), nn.ReLU(),
                             nn.Linear(64, classes or largest + 1))
    network = torchvision.models.get_model(args.backbone)
    name, last = [(name, part) for name, part in network.named_modules() if isinstance(part, nn.Linear)][-1]

    def replace(count):
        network.get_submodule(name.rpartition(".")[0]).add_module(name.rpartition(".")[2], nn.Linear(last.in_features, count))

    if args.weights:  # a state_dict: torchvision's, downloaded beforehand, or one's own
        weights = torch.load(args.weights, map_location="cpu", weights_only=True)
        count = len(weights[name + ".weight"])
        replace(count)
        network.load_state_dict(weights)
        if count == classes or (not classes and count > largest):
            return network  # its last layer knows these classes
    replace(classes or largest + 1)
    return network


def augment(x, random):
    """Random crops of a frame that is wider by an eighth; colour pictures are mirrored too, which digits must not be."""
    margin = max(1, x.shape[-1] // 16)
    frame, out = F.pad(x, [margin] * 4, mode="replicate"), torch.empty_like(x)
    for i, (top, left, flip) in enumerate(torch.randint(0, 2 * margin + 1, (len(x), 3), generator=random).tolist()):
        out[i] = frame[i, :, top:top + x.shape[-2], left:left + x.shape[-1]]
        if x.shape[1] == 3 and flip % 2:
            out[i] = out[i].flip(-1)
    return out


def batch_of(x, rows, own, random):
    """Rows of the pool are augmented, twins are not: what makes one a twin are the very pixels it was moved by."""
    batch, ours = x[rows], rows < own
    if ours.any():
        batch[ours] = augment(batch[ours], random)
    return batch


def save(value, path):
    with open(path + ".tmp", "wb") as file:
        torch.save(value, file)
    os.replace(path + ".tmp", path)


def main():
    args = arguments()
    if torch is None:
        raise SystemExit(f"trainer_torch.py needs PyTorch and torchvision: {missing}")
    torch.manual_seed(args.seed)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(args.threads or torch.get_num_threads())
    x, y, own, classes = read_rows(args)
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    network, part = make_network(args, x.shape[1:], classes, int(y.max())), args.out + ".part"
    if args.init:
        network.load_state_dict(torch.load(args.init + ".pt", weights_only=True))
    optimizer, begin, loss = torch.optim.Adam(network.parameters(), lr=args.lr), 0, torch.zeros(())
    if os.path.exists(part):
        kept = torch.load(part, weights_only=True)
        begin = kept["epoch"]
        network.load_state_dict(kept["network"]), optimizer.load_state_dict(kept["optimizer"])
    for epoch in range(begin, args.epochs):
        if stop:
            save({"epoch": epoch, "network": network.state_dict(), "optimizer": optimizer.state_dict()}, part)
            return 75
        random = torch.manual_seed(args.seed * 1000003 + epoch)  # an epoch's chance needs nothing of those before
        network.train()
        for rows in torch.randperm(len(x), generator=random).split(args.batch):
            if len(rows) > 1 or len(x) == 1:  # batch-norm cannot do with one
                optimizer.zero_grad()
                loss = F.cross_entropy(network(batch_of(x, rows, own, random)), y[rows])
                loss.backward()
                optimizer.step()
    network.eval()  # batch-norm and dropout as in use; logits, no softmax
    save(network.state_dict(), args.out + ".pt")
    torch.onnx.export(network, (x[:2],), args.out + ".tmp", dynamo=False, opset_version=OPSET, input_names=["input"],
                      output_names=["logits"], dynamic_axes={"input": {0: "batch"}, "logits": {0: "batch"}})
    os.replace(args.out + ".tmp", args.out)
    os.remove(part) if os.path.exists(part) else None
    print(f"round {args.round}: {len(x)} rows, {args.epochs} epochs, loss {float(loss.detach()):.4f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
