# SPDX-License-Identifier: Apache-2.0
"""What the peers' scripts share: the command line, dfal's programs, pools, the trained networks and their cache."""
import argparse
import hashlib
import inspect
import json
import os
import subprocess
import sys
import time
import warnings

import h5py
import numpy as np
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
CLASSES = 10
MEAN = np.array([0.485, 0.456, 0.406])
STD = np.array([0.229, 0.224, 0.225])


class LeNet(nn.Module):
    """A grey picture, and a batch of any size by x.view(x.size(0), -1)."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2, self.conv3 = nn.Conv2d(1, 20, 5), nn.Conv2d(20, 50, 5), nn.Conv2d(50, 500, 4)
        self.fc1, self.fc2 = nn.Linear(500, 84), nn.Linear(84, CLASSES)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.conv3(x))
        return self.fc2(F.relu(self.fc1(x.view(x.size(0), -1))))


def vgg11(size):
    """torchvision's; below 224 its adaptive pool would enlarge, which no exporter writes, so it and what it feeds adapt."""
    model = torchvision.models.vgg11(num_classes=CLASSES)
    if size != 224:
        model.avgpool = nn.Identity()
        model.classifier[0] = nn.Linear(512 * (size // 32) ** 2, 4096)
    return model


# name: (maker, channels, fixed size or 0)
NETWORKS = {
    "lenet": (lambda size: LeNet(), 1, 28),
    "vgg11": (vgg11, 3, 0),
    "resnet18": (lambda size: torchvision.models.resnet18(num_classes=CLASSES), 3, 0),
    "mobilenet_v2": (lambda size: torchvision.models.mobilenet_v2(num_classes=CLASSES), 3, 0),
    "mobilenet_v3_small": (lambda size: torchvision.models.mobilenet_v3_small(num_classes=CLASSES), 3, 0),
    "squeezenet": (lambda size: torchvision.models.squeezenet1_1(num_classes=CLASSES), 3, 0),
    "densenet121": (lambda size: torchvision.models.densenet121(num_classes=CLASSES), 3, 0),
    "efficientnet_b0": (lambda size: torchvision.models.efficientnet_b0(num_classes=CLASSES), 3, 0),
}
# Steps of training where 24 leave a network at chance: deep ones with small gradients, and those without batch-norm.
STEPS = {"lenet": 300, "mobilenet_v2": 48, "mobilenet_v3_small": 48, "squeezenet": 120, "efficientnet_b0": 40}


def arguments(description, add=None):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("build", help="build folder with tools/dfal and tests/tool_gradients")
    parser.add_argument("--work", default=os.path.join(ROOT, "build", "peers"), help="where networks and pools are kept")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count()))
    if add:
        add(parser)
    found = parser.parse_args()
    found.dfal = os.path.join(found.build, "tools", "dfal")
    found.gradients = os.path.join(found.build, "tests", "tool_gradients")
    os.makedirs(found.work, exist_ok=True)
    torch.set_num_threads(found.threads)
    warnings.simplefilter("ignore")
    return found


def call(line, **options):
    """Run a program; its failure ends this one with what it said."""
    done = subprocess.run([str(word) for word in line], capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(str(word) for word in line)}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout


# ---- Synthetic pictures --------------------------------------------------------------------------

def pictures(count, channels, size, split):
    """u8 [count, channels, size, size] and labels: a smooth pattern a class, moved, dimmed and mixed with noise."""
    random = np.random.default_rng(5)
    coarse = torch.from_numpy(random.normal(size=(CLASSES, channels, 6, 6)).astype(np.float32))
    random = np.random.default_rng([6, split])
    pattern = F.interpolate(coarse, (size + 8, size + 8), mode="bicubic", align_corners=False).numpy()
    labels = random.integers(0, CLASSES, count)
    out = np.empty((count, channels, size, size), np.uint8)
    for i, label in enumerate(labels):
        top, left = random.integers(0, 8, 2)
        other = pattern[random.integers(0, CLASSES), :, top:top + size, left:left + size]
        picture = pattern[label, :, top:top + size, left:left + size] + random.uniform(0.0, 0.7) * other
        picture = random.uniform(20, 45) * picture + 128 + random.normal(scale=20, size=picture.shape)
        out[i] = np.clip(np.rint(picture), 0, 255)
    return out, labels.astype(np.int32)


def scaling(channels):
    """scale and offset of a pool: (raw/255 - mean)/std, as torchvision's transforms do it."""
    if channels == 1:
        return np.array([1 / 255.0]), np.array([0.0])
    return 1 / (255.0 * STD), -MEAN / STD


def as_input(raw):
    """What the network sees: float32 of raw*scale + offset in double."""
    scale, offset = scaling(raw.shape[1])
    return (raw * scale.reshape(1, -1, 1, 1) + offset.reshape(1, -1, 1, 1)).astype(np.float32)


def write_pool(path, samples, labels=None, classes=CLASSES, scale=(1.0,), offset=(0.0,)):
    with h5py.File(path, "w", libver=("earliest", "v110")) as file:
        file.attrs["format"], file.attrs["version"], file.attrs["class_count"] = "dfal-pool", 1, classes
        file.attrs["scale"], file.attrs["offset"] = np.asarray(scale, np.float64), np.asarray(offset, np.float64)
        file.create_dataset("samples", data=samples)
        if labels is not None:
            file.create_dataset("labels", data=labels)


def pool(work, name, size, count):
    """Path of a pool of `count` test pictures for a network, and the pictures as its input."""
    _, channels, fixed = NETWORKS[name]
    size = fixed or size
    raw, labels = pictures(count, channels, size, 1)
    path = os.path.join(work, f"pool-{channels}x{size}-{count}.h5")
    scale, offset = scaling(channels)
    write_pool(path, raw, labels, scale=scale, offset=offset)
    return path, torch.from_numpy(as_input(raw))


# ---- Networks ------------------------------------------------------------------------------------

def train(name, size, batch=16):
    """Random weights, a few steps of Adam, then batch-norm statistics calibrated anew: margins are of order one."""
    make, channels, fixed = NETWORKS[name]
    torch.manual_seed(3)
    model = make(fixed or size)
    raw, labels = pictures(256, channels, fixed or size, 0)
    x, y = torch.from_numpy(as_input(raw)), torch.from_numpy(labels).long()
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4 if name == "vgg11" else 1e-3)
    order = torch.randperm(len(x))
    for step in range(STEPS.get(name, 24)):
        rows = order[torch.arange(step * batch, (step + 1) * batch) % len(x)]
        optimizer.zero_grad()
        F.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()
    norms = [part for part in model.modules() if isinstance(part, nn.BatchNorm2d)]
    if norms:
        for part in norms:
            part.reset_running_stats()
            part.momentum = None
        with torch.no_grad():
            for rows in x.split(64):
                model(rows)
    return model.eval()


def key():
    """Changes with whatever made the kept networks."""
    text = "".join(inspect.getsource(part) for part in (LeNet, vgg11, pictures, scaling, as_input, train, export))
    return hashlib.sha256((text + repr(STEPS) + torch.__version__).encode()).hexdigest()[:12]


def network(work, name, size):
    """A trained network in evaluation mode, kept in the work folder."""
    make, _, fixed = NETWORKS[name]
    path = os.path.join(work, f"{name}-{fixed or size}-{key()}.pt")
    if not os.path.exists(path):
        begin = time.monotonic()
        torch.save(train(name, size).state_dict(), path + ".part")
        os.rename(path + ".part", path)
        print(f"trained {name} at {fixed or size}: {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
    model = make(fixed or size)
    model.load_state_dict(torch.load(path))
    return model.eval()


def export(work, name, size, exporter):
    """NAME.onnx by one of PyTorch's exporters with a batch of any size; kept."""
    model = network(work, name, size)
    _, channels, fixed = NETWORKS[name]
    path = os.path.join(work, f"{name}-{fixed or size}-{exporter}-{key()}.onnx")
    if os.path.exists(path):
        return path
    x = torch.zeros(2, channels, fixed or size, fixed or size)
    begin = time.monotonic()
    if exporter == "script":
        torch.onnx.export(model, (x,), path + ".part", dynamo=False, opset_version=17, input_names=["image"],
                          output_names=["logits"], dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}})
    else:
        torch.onnx.export(model, (x,), path + ".part", dynamo=True, external_data=False, verbose=False,
                          dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=4096)},))
    os.rename(path + ".part", path)
    print(f"exported {name} ({exporter}): {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
    return path


def vjp(model, x, cotangents):
    """Logits and vector-Jacobian products by autograd."""
    x = x.clone().requires_grad_()
    logits = model(x)
    return logits.detach(), torch.autograd.grad(logits, x, cotangents)[0]


def dfal_vjp(found, backend, path, x, cotangents):
    """The same by dfal through tests/tool_gradients.c; its facts too."""
    names = [os.path.join(found.work, f"vjp.{os.getpid()}.{part}") for part in ("x", "c", "out")]
    try:
        x.numpy().astype("<f4").tofile(names[0])
        cotangents.numpy().astype("<f4").tofile(names[1])
        facts = json.loads(call([found.gradients, backend, path, names[0], names[1], len(x), names[2]]))
        values = np.fromfile(names[2], "<f8")
    finally:
        for name in names:
            if os.path.exists(name):
                os.remove(name)
    count = cotangents.numel()
    return (torch.from_numpy(values[:count]).view_as(cotangents), torch.from_numpy(values[count:]).view(x.shape), facts)


def table(head, rows):
    """Columns as wide as their widest cell; the first to the left."""
    lines = [head] + rows
    widths = [max(len(line[k]) for line in lines) for k in range(len(head))]
    for line in lines:
        print("  ".join(cell.ljust(width) if k == 0 else cell.rjust(width)
                        for k, (cell, width) in enumerate(zip(line, widths))))
    sys.stdout.flush()
