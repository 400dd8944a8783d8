# SPDX-License-Identifier: Apache-2.0
"""Small pools whose ten classes a network learns in seconds, networks made by hand, pictures."""
import json
import struct
import zlib

import h5py
import numpy as np

from support import write_pool


def digits(count, seed):
    """Ten fixed patterns under noise: u8 [count, 1, 28, 28] and labels."""
    patterns = np.random.default_rng(0).integers(0, 2, (10, 7, 7)).repeat(4, 1).repeat(4, 2) * 150
    random = np.random.default_rng(seed)
    labels = random.integers(0, 10, count)
    samples = np.clip(patterns[labels] + random.integers(0, 100, (count, 28, 28)), 0, 255).astype(np.uint8)
    return samples[:, None], labels


def make_pool(path, count, seed):
    samples, labels = digits(count, seed)
    write_pool(path, samples, labels)


def write_linear(path, weight, bias, shape, dropout=None):
    """A network file of one Gemm behind a Flatten, and that behind a Dropout of a ratio, as ten lines of h5py write it."""
    weight, bias = np.asarray(weight, np.float32), np.asarray(bias, np.float32)
    drop = [] if dropout is None else [{"name": "drop", "op": "Dropout", "inputs": ["input"],
                                        "attributes": {"ratio": dropout}}]
    nodes = [*drop, {"name": "flat", "op": "Flatten", "inputs": ["drop" if drop else "input"], "attributes": {}},
             {"name": "fc", "op": "Gemm", "inputs": ["flat"], "attributes": {}}]
    write_nodes(path, nodes, {"fc/weight": weight, "fc/bias": bias}, shape, len(bias))


def write_nodes(path, nodes, parameters, shape, classes):
    """A network file of nodes as /graph has them, the last the output, and of parameters by NODE/KIND."""
    with h5py.File(path, "w") as file:
        file.attrs["format"] = "dfal-network"
        file.attrs["version"] = 1
        file.attrs["input"] = np.array(shape, np.int64)
        file.attrs["class_count"] = classes
        file.attrs["scale"] = np.array([1.0])
        file.attrs["offset"] = np.array([0.0])
        file["graph"] = json.dumps({"nodes": nodes, "output": nodes[-1]["name"]})
        for name, values in parameters.items():
            file[f"parameters/{name}"] = np.asarray(values, np.float32)


def write_small(path):
    """Conv, Relu, MaxPool and Gemm for 14x14: a network that is fused."""
    random = np.random.default_rng(5)
    nodes = [("conv", "Conv", "input", {}), ("relu", "Relu", "conv", {}),
             ("pool", "MaxPool", "relu", {"kernel_shape": [2, 2], "strides": [2, 2]}),
             ("flat", "Flatten", "pool", {}), ("fc", "Gemm", "flat", {})]
    graph = {"nodes": [{"name": name, "op": op, "inputs": [source], "attributes": attributes}
                       for name, op, source, attributes in nodes], "output": "fc"}
    with h5py.File(path, "w") as file:
        file.attrs["format"] = "dfal-network"
        file.attrs["version"] = 1
        file.attrs["input"] = np.array([1, 14, 14], np.int64)
        file.attrs["class_count"] = 10
        file.attrs["scale"] = np.array([1 / 255])
        file.attrs["offset"] = np.array([0.0])
        file["graph"] = json.dumps(graph)
        for name, shape in (("conv", (4, 1, 5, 5)), ("fc", (10, 100))):
            file[f"parameters/{name}/weight"] = random.normal(size=shape).astype(np.float32) / np.sqrt(shape[-1])
            file[f"parameters/{name}/bias"] = np.zeros(shape[0], np.float32)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(pixels):
    """Grey [H, W] or colour [H, W, 3] of 8 bits."""
    pixels = np.asarray(pixels, np.uint8)
    raw = b"".join(b"\0" + row.tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 8, 2 if pixels.ndim == 3 else 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw, 1)) + chunk(b"IEND", b"")
