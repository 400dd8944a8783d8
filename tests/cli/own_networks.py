#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Networks that people bring: gates, joins, paddings, reshapes through info, train, eval, logits, score, verify."""
import json

import h5py
import numpy as np

from data import make_pool
from support import check, main, same_bits

# A given normalisation, squeeze and excite, an inverted residual with ReLU6, SiLU; input 1 x 28 x 28.
NODES = [
    ("norm", "BatchNormalization", ["input"], {"epsilon": 0.0}),
    ("pad", "Pad", ["norm"], {"pads": [1, 1, 2, 2], "value": 0.0}),
    ("stem", "Conv", ["pad"], {"strides": [2, 2]}),
    ("stem_bn", "BatchNormalization", ["stem"], {}),
    ("act", "HardSwish", ["stem_bn"], {}),
    ("squeeze", "GlobalAveragePool", ["act"], {}),
    ("reduce", "Conv", ["squeeze"], {}),
    ("leaky", "LeakyRelu", ["reduce"], {"alpha": 0.1}),
    ("expand", "Conv", ["leaky"], {}),
    ("gate", "HardSigmoid", ["expand"], {"alpha": 0.16666667, "beta": 0.5}),
    ("excited", "Mul", ["act", "gate"], {}),
    ("wide", "Conv", ["excited"], {}),
    ("wide6", "Clip", ["wide"], {"min": 0.0, "max": 6.0}),
    ("depth", "Conv", ["wide6"], {"group": 16, "pads": [1, 1, 1, 1]}),
    ("sig", "Sigmoid", ["depth"], {}),
    ("silu", "Mul", ["depth", "sig"], {}),
    ("narrow", "Conv", ["silu"], {}),
    ("sum", "Add", ["narrow", "excited"], {}),
    ("mean", "GlobalAveragePool", ["sum"], {}),
    ("centred", "Sub", ["sum", "mean"], {}),
    ("positive", "Clip", ["centred"], {"min": 0.0}),
    ("pool", "AveragePool", ["positive"], {"kernel_shape": [7, 7], "strides": [7, 7]}),
    ("vector", "Reshape", ["pool"], {"shape": [32, 1, 1]}),
    ("head", "Gemm", ["vector"], {}),
]
WEIGHTS = {"stem": (8, 1, 4, 4), "reduce": (4, 8, 1, 1), "expand": (8, 4, 1, 1), "wide": (16, 8, 1, 1),
           "depth": (16, 1, 3, 3), "narrow": (8, 16, 1, 1), "head": (10, 32)}
CHANNELS = {"norm": 1, "stem_bn": 8}


def write_network(path, nodes=NODES):
    names = [node[0] for node in nodes]
    graph = {"nodes": [dict(zip(("name", "op", "inputs", "attributes"), node)) for node in nodes], "output": nodes[-1][0]}
    random = np.random.default_rng(1)
    with h5py.File(path, "w") as file:
        file.attrs.update({"format": "dfal-network", "version": 1, "input": np.array([1, 28, 28]), "class_count": 10,
                           "scale": np.array([1.0]), "offset": np.array([0.0])})
        file["graph"] = json.dumps(graph)
        for name, shape in WEIGHTS.items():
            fan = np.prod(shape[1:])
            file[f"parameters/{name}/weight"] = random.normal(0, fan**-0.5, shape).astype("f4")
        for name, channels in CHANNELS.items():
            if name not in names:
                continue
            given = (0.5, 0.0625) if name == "norm" else (0.0, 1.0)
            for kind, value in zip(("weight", "bias", "mean", "variance"), (1.0, 0.0) + given):
                file[f"parameters/{name}/{kind}"] = np.full(channels, value, "f4")


def commands(dfal):
    make_pool(dfal.at("train.h5"), 400, 1)
    make_pool(dfal.at("pool.h5"), 60, 2)
    write_network(dfal.at("own.h5"))
    document = dfal.json("info", "own.h5")
    wanted = {"node_pad": "Pad -> 1 x 31 x 31", "node_excited": "Mul -> 8 x 14 x 14", "node_gate": "HardSigmoid -> 8 x 1 x 1",
              "node_centred": "Sub -> 8 x 14 x 14", "node_vector": "Reshape -> 32 x 1 x 1"}
    for key, value in wanted.items():
        check(document[key] == value, f"info: {key} is {document[key]}")
    losses = [dfal.json("train", "--net", "own.h5", "train.h5", "-o", f"e{epochs}.h5", "--epochs", epochs, "--lr", "0.005")["loss"]
              for epochs in ("1", "6")]
    check(losses[1] < 0.5 * losses[0], f"the loss went from {losses[0]} to {losses[1]}")
    check(dfal.json("eval", "e6.h5", "pool.h5")["accuracy"] > 0.8, "the network does not learn")
    with h5py.File(dfal.at("e6.h5")) as file:
        check(file["parameters/norm/mean"][0] == 0.5 and file["parameters/norm/variance"][0] == 0.0625 and
              file["parameters/norm/weight"][0] == 1, "training changed the given normalisation")
    dfal.run("-q", "logits", "e6.h5", "pool.h5", "-o", "l.h5")
    for node, shape in ("gate", (60, 8, 1, 1)), ("silu", (60, 16, 14, 14)), ("vector", (60, 32)), ("pad", (60, 1, 31, 31)):
        dfal.run("-q", "logits", "e6.h5", "pool.h5", "-o", f"{node}.h5", "--node", node)
        with h5py.File(dfal.at(f"{node}.h5")) as file:
            found = file[node][()]
            check(found.shape[:2] == shape[:2] and found.size == np.prod(shape), f"{node} is {found.shape}")
            if node == "gate":
                check(found.min() >= 0 and found.max() <= 1 and found.std() > 0, "a gate lies in [0, 1]")
    document = dfal.json("score", "e6.h5", "pool.h5", "-o", "s.h5")
    check(document["samples"] == 60 and document["status"]["OK"] >= 55, f"score: {document['status']}")
    document = dfal.json("verify", "s.h5", "--samples", "16")
    check(document["ok"], f"verify: {document}")


def same_networks(dfal):
    """Training in sub-batches gives the same bits for one thread and two, on both back ends."""
    make_pool(dfal.at("train.h5"), 120, 1)
    plain = [node for node in NODES if node[0] != "stem_bn"]
    plain = [(name, op, ["stem"] if name == "act" else inputs, attributes) for name, op, inputs, attributes in plain]
    write_network(dfal.at("plain.h5"), plain)
    for backend in "cpu", "ref":
        for threads in "1", "2":
            dfal.run("-q", "--backend", backend, "--threads", threads, "train", "--net", "plain.h5", "train.h5", "-o",
                     f"{backend}{threads}.h5", "--epochs", "1")
        same_bits(dfal.at(f"{backend}1.h5"), dfal.at(f"{backend}2.h5"))


def refusals(dfal):
    make_pool(dfal.at("pool.h5"), 20, 1)
    for change, words in (
            (("silu", "Mul", ["sig", "pad"], {}), ("'silu' (Mul)", "16x14x14 and 1x31x31")),
            (("vector", "Reshape", ["pool"], {"shape": [31, 1, 1]}), ("'vector' (Reshape)", "8x2x2 into 31x1x1")),
            (("pad", "Pad", ["norm"], {"pads": [-28, 1, 2, 2]}), ("'pad' (Pad)", "-28")),
            (("wide6", "Clip", ["wide"], {"min": "0"}), ("attribute 'min' of node 'wide6'",)),
            (("sig", "Sigmod", ["depth"], {}), ("node 'sig': unknown op 'Sigmod': expected ", "; nearest is 'Sigmoid'"))):
        write_network(dfal.at("bad.h5"), [change if node[0] == change[0] else node for node in NODES])
        dfal.refuses(65, "eval", "bad.h5", "pool.h5", says=words)
        dfal.refuses(65, "score", "bad.h5", "pool.h5", "-o", "s.h5", says=words)


if __name__ == "__main__":
    main({f.__name__: f for f in (commands, same_networks, refusals)})
