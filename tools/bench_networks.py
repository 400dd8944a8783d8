#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A network of torchvision with random weights as NAME.onnx, and a pool of drawn noise for it: what a benchmark needs.

    bench_networks.py resnet18 --size 224 --classes 1000 --samples 256 -o FOLDER

Writes FOLDER/NAME-SIZE.onnx and FOLDER/pool-SIZE.h5. Batch-norm statistics are those of the pictures, so that logits and margins are
of order one. Needs torch, torchvision, h5py, numpy.
"""
import argparse
import os
import warnings

import h5py
import numpy as np
import torch
import torchvision
from torch.nn import functional as F


def pictures(count, size):
    """u8 [count, 3, size, size]: coarse random patterns under fine noise; nothing is constant."""
    random = np.random.default_rng(1)
    out = np.empty((count, 3, size, size), np.uint8)
    for i in range(count):
        coarse = torch.from_numpy(random.normal(size=(1, 3, 6, 6)).astype(np.float32))
        smooth = F.interpolate(coarse, (size, size), mode="bicubic", align_corners=False)[0].numpy()
        out[i] = np.clip(40 * smooth + 128 + random.normal(scale=20, size=smooth.shape), 0, 255)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network")
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("-o", dest="folder", required=True)
    found = parser.parse_args()
    warnings.simplefilter("ignore")
    os.makedirs(found.folder, exist_ok=True)
    raw = pictures(found.samples, found.size)
    with h5py.File(os.path.join(found.folder, f"pool-{found.size}.h5"), "w", libver=("earliest", "v110")) as file:
        file.attrs["format"], file.attrs["version"], file.attrs["class_count"] = "dfal-pool", 1, found.classes
        file.attrs["scale"], file.attrs["offset"] = np.full(3, 1 / 57.0), np.full(3, -2.2)
        file.create_dataset("samples", data=raw)
    torch.manual_seed(1)
    model = torchvision.models.get_model(found.network, num_classes=found.classes).train()
    with torch.no_grad():
        for part in model.modules():
            if isinstance(part, torch.nn.BatchNorm2d):
                part.momentum = None
        model(torch.from_numpy((raw[:32] / 57.0 - 2.2).astype(np.float32)))
    torch.onnx.export(model.eval(), (torch.zeros(2, 3, found.size, found.size),),
                      os.path.join(found.folder, f"{found.network}-{found.size}.onnx"), dynamo=False, opset_version=17,
                      input_names=["image"], output_names=["logits"],
                      dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}})


if __name__ == "__main__":
    main()
