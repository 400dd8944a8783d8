# SPDX-License-Identifier: Apache-2.0
"""Networks of some width, written by h5py."""
import json

import h5py
import numpy as np


def write_wide(path, side, channels, classes, seed=0):
    """Three convolutions 3x3 on planes of side x side, a pool over the whole plane, a Gemm."""
    random = np.random.default_rng(seed)
    nodes, parameters, last, width = [], {}, "input", 3
    for number in (1, 2, 3):
        name = f"conv{number}"
        nodes.append({"name": name, "op": "Conv", "inputs": [last],
                      "attributes": {"strides": [1, 1], "pads": [1, 1, 1, 1], "dilations": [1, 1], "group": 1}})
        nodes.append({"name": f"relu{number}", "op": "Relu", "inputs": [name], "attributes": {}})
        deviation = (2 / (9 * width)) ** 0.5
        parameters[f"{name}/weight"] = random.normal(0, deviation, (channels, width, 3, 3)).astype("f4")
        last, width = f"relu{number}", channels
    for name, op in (("mean", "GlobalAveragePool"), ("flat", "Flatten"), ("fc", "Gemm")):
        nodes.append({"name": name, "op": op, "inputs": [last], "attributes": {}})
        last = name
    parameters["fc/weight"] = random.normal(0, 3, (classes, channels)).astype("f4")
    with h5py.File(path, "w") as file:
        file.attrs.update({"format": "dfal-network", "version": 1, "class_count": classes,
                           "input": np.array([3, side, side]), "scale": np.array([1 / 255]), "offset": np.array([0.0])})
        file["graph"] = json.dumps({"nodes": nodes, "output": "fc"})
        for name, value in parameters.items():
            file["parameters/" + name] = value
