#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""examples/export_torch.py and `dfal verify` together: networks of torchvision by both exporters agree node by node, one
weight changed in a middle layer is found by the layer's name, and a pool scaled in another way by its normalisation."""
import json
import os
import subprocess
import sys

import h5py
import numpy as np
import onnx

from common import ROOT, arguments, table

SIZE, CLASSES = 64, 10
MEAN, STD = "0.485,0.456,0.406", "0.229,0.224,0.225"
# name: (what is exported, at least so many activations of it are compared)
NETWORKS = {"resnet18": 35, "mobilenet_v3_small": 60, "densenet121": 200}


def export(args, name, exporter, *more):
    path = os.path.join(args.work, f"verify-{name}-{exporter}.onnx")
    subprocess.run([sys.executable, "-W", "ignore", os.path.join(ROOT, "examples", "export_torch.py"), name, "-o", path,
                    "--classes", str(CLASSES), "--size", str(SIZE), "--exporter", exporter, "--mean", MEAN, "--std", STD,
                    *more], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return path


def verify(args, code, network, *words):
    done = subprocess.run([args.dfal, "-q", "--json", "verify", network, *words], capture_output=True, text=True)
    assert done.returncode == code, f"{network}: exit code {done.returncode}, expected {code}\n{done.stderr}"
    return json.loads(done.stdout), done.stderr


def perturb(path, value, out):
    """Change one weight of the convolution that computes `value`."""
    model = onnx.load(path)
    names = {n.output[0]: n for n in model.graph.node}
    node = next(n for n in model.graph.node if n.output[0].lstrip("/").replace("/", ".") == value)
    weight = node.input[1]
    while weight in names and names[weight].op_type == "Identity":
        weight = names[weight].input[0]
    tensor = next(t for t in model.graph.initializer if t.name == weight)
    array = onnx.numpy_helper.to_array(tensor).copy()
    array.flat[array.size // 2] += 1
    tensor.CopyFrom(onnx.numpy_helper.from_array(array, weight))
    onnx.save(model, out)


def main():
    args = arguments(__doc__)
    pool = os.path.join(args.work, "verify-pool.h5")
    mean, std = (np.array([float(v) for v in text.split(",")]) for text in (MEAN, STD))
    with h5py.File(pool, "w") as file:
        file.attrs.update({"format": "dfal-pool", "version": 1, "class_count": CLASSES, "scale": 1 / (255 * std),
                           "offset": -mean / std})
        file["samples"] = np.random.default_rng(1).integers(0, 256, (40, 3, SIZE, SIZE)).astype(np.uint8)
    rows = []
    for name, least in NETWORKS.items():
        for exporter in "torchscript", "dynamo":
            path = export(args, name, exporter, "--pool", pool, *(["--dynamic"] if exporter == "torchscript" else []))
            reference = path.replace(".onnx", ".ref.h5")
            for words in ((), (pool,)):
                found, _ = verify(args, 0, path, *words, "--against", reference)
            assert found["argmax_agreement"] == found["samples"] == 16 and found["input_difference"] < 1e-5, found
            assert len(found["nodes"]) >= least, f"{name}, {exporter}: {len(found['nodes'])} nodes are compared"
            worst = max(node["relative_difference"] for node in found["nodes"])
            convolutions = [node["node"] for node in found["nodes"] if node["op"] == "Conv"]
            middle, changed = convolutions[len(convolutions) // 2], path.replace(".onnx", "-changed.onnx")
            perturb(path, middle, changed)
            other, sentence = verify(args, 65, changed, "--against", reference)
            assert other["first_difference"] == middle and f"'{middle}'" in sentence, f"{middle}: {other} {sentence}"
            rows.append([name, exporter, str(len(found["nodes"])), str(found["nodes_left_out"]), f"{worst:.1e}",
                         f"{found['argmax_agreement']}/16", middle])
    with h5py.File(pool, "a") as file:
        file.attrs["scale"], file.attrs["offset"] = np.array([1 / 255]), np.array([0.0])
    _, sentence = verify(args, 65, path, pool, "--against", reference)
    assert "network's inputs differ" in sentence and "scale and offset" in sentence, sentence
    table(["network", "exporter", "nodes", "left out", "largest relative", "arg-max", "changed node found"], rows)


if __name__ == "__main__":
    main()
