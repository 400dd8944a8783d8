#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""dfal verify NET --against REF.h5: a network made by hand against its forward pass in NumPy."""
import json

import h5py
import numpy as np

from support import check, main, write_pool

SHAPE = (3, 6, 5)
NODES = [("conv", "Conv", "input", {"strides": [1, 1], "pads": [1, 1, 1, 1], "dilations": [1, 1], "group": 1}),
         ("conv.relu", "Relu", "conv", {}), ("flat", "Flatten", "conv.relu", {}), ("fc", "Gemm", "flat", {})]


def network(path, weights, scale=(1 / 255,), offset=(0.0,)):
    with h5py.File(path, "w") as file:
        file.attrs.update({"format": "dfal-network", "version": 1, "class_count": 4,
                           "input": np.array(SHAPE), "scale": np.array(scale), "offset": np.array(offset)})
        nodes = [{"name": n, "op": o, "inputs": [i], "attributes": a} for n, o, i, a in NODES]
        file["graph"] = json.dumps({"nodes": nodes, "output": "fc"})
        for name, value in weights.items():
            file["parameters/" + name] = value


def forward(w, x):
    """In float64: the values of every node."""
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))
    conv = np.einsum("nchwij,ocij->nohw", windows, w["conv/weight"]) + w["conv/bias"][None, :, None, None]
    relu = np.maximum(conv, 0)
    return {"conv": conv, "conv.relu": relu, "fc": relu.reshape(len(x), -1) @ w["fc/weight"].T + w["fc/bias"]}


def make(dfal, count=12):
    random = np.random.default_rng(3)
    w = {"conv/weight": random.normal(size=(8, 3, 3, 3)).astype("f4"), "conv/bias": random.normal(size=8).astype("f4"),
         "fc/weight": random.normal(size=(4, 240)).astype("f4"), "fc/bias": random.normal(size=4).astype("f4")}
    scale, offset = np.array([1 / 58.4, 1 / 57.1, 1 / 57.4]), np.array([-2.12, -2.04, -1.8])
    raw = random.integers(0, 256, (count, *SHAPE)).astype(np.uint8)
    x = (raw * scale[None, :, None, None] + offset[None, :, None, None]).astype(np.float32)
    network(dfal.at("net.h5"), w, scale, offset)
    write_pool(dfal.at("pool.h5"), raw, np.arange(count) % 4, class_count=4)
    with h5py.File(dfal.at("pool.h5"), "a") as file:
        file.attrs["scale"], file.attrs["offset"] = scale, offset
    return w, raw, x


def write_reference(path, x, values, inputs=True, index=None, dtype="f4", order=None):
    with h5py.File(path, "w") as file:
        file["logits"] = values["fc"].astype(dtype)
        if inputs:
            file["inputs"] = x
        if index is not None:
            file["index"] = np.asarray(index)
        for number, name in enumerate(order or ("conv.relu", "conv")):
            file[f"activations/{name}"] = values[name].astype("f4")
            file[f"activations/{name}"].attrs["order"] = number


def agreement(dfal):
    w, _, x = make(dfal)
    values = forward(w, x)
    write_reference(dfal.at("ref.h5"), x, values)
    for words in (("net.h5",), ("net.h5", "pool.h5")):
        for backend in ("cpu", "ref"):
            document = dfal.json("verify", *words, "--against", "ref.h5", "--backend", backend)
            check(document["ok"] and document["samples"] == 12 and document["argmax_agreement"] == 12, f"{document}")
            check(document["largest_relative_difference"] < 1e-5 and document["first_difference"] is None, f"{document}")
            check([node["node"] for node in document["nodes"]] == ["conv", "conv.relu", "logits"], "not in graph order")
            check((document["input_difference"] is None) == (len(words) == 1), f"{document}")
    out, _ = dfal.run("-q", "verify", "net.h5", "pool.h5", "--against", "ref.h5")
    check("12 of 12" in out and "conv.relu" in out, out)
    rows = [7, 3, 3]
    write_reference(dfal.at("rows.h5"), x[rows], {k: v[rows] for k, v in values.items()}, inputs=False, index=rows, dtype="f8")
    check(dfal.json("verify", "net.h5", "pool.h5", "--against", "rows.h5")["samples"] == 3, "rows by /index")


def differences(dfal):
    w, raw, x = make(dfal)
    values = forward(w, x)
    write_reference(dfal.at("ref.h5"), x, values)
    other = dict(w, **{"conv/weight": w["conv/weight"].copy()})
    other["conv/weight"][5, 1, 2, 0] += 0.5
    network(dfal.at("other.h5"), other)
    verify = ("verify", "other.h5", "--against", "ref.h5")
    out, err = dfal.run("-q", *verify, code=65)
    check("'conv' (Conv) is the first" in err and "differs" in out and "10 of 12" not in err, f"{out}{err}")
    document = json.loads(dfal.run("-q", "--json", *verify, code=65)[0])
    check(document["first_difference"] == "conv" and not document["ok"], f"{document}")
    check(document["nodes"][0]["largest_difference"] > 0.5, f"{document}")
    dfal.run("-q", *verify, "--tolerance", "10")
    late = dict(w, **{"fc/bias": w["fc/bias"] + np.float32(9)})
    network(dfal.at("late.h5"), late)
    _, err = dfal.run("-q", "verify", "late.h5", "--against", "ref.h5", code=65)
    check("the logits differ" in err and "no compared node before them" in err, err)
    # The normalisation, by its line; and channels in another order.
    with h5py.File(dfal.at("pool.h5"), "a") as file:
        file.attrs["scale"], file.attrs["offset"] = np.array([1 / 255]), np.array([0.0])
    _, err = dfal.run("-q", "verify", "net.h5", "pool.h5", "--against", "ref.h5", code=65)
    check("the network's inputs differ" in err and "scale and offset" in err and "4.366" in err, err)
    # A few values that are off are no other normalisation.
    few = np.tile(x, (20, 1, 1, 1))
    write_reference(dfal.at("few-ref.h5"), few, forward(w, few))
    few[7, 1, 2, 3] += 0.02 * np.abs(few).max()
    write_pool(dfal.at("few.h5"), few, class_count=4)
    _, err = dfal.run("-q", "verify", "net.h5", "few.h5", "--against", "few-ref.h5", code=65)
    check("single values differ" in err and "sample 7, channel 1, row 2, column 3" in err and "normalisation" not in err, err)
    write_pool(dfal.at("turned.h5"), x[:, ::-1].copy(), class_count=4)
    _, err = dfal.run("-q", "verify", "net.h5", "turned.h5", "--against", "ref.h5", code=65)
    check("channels are in another order" in err, err)
    write_pool(dfal.at("strangers.h5"), x[::-1].copy(), class_count=4)
    _, err = dfal.run("-q", "verify", "net.h5", "strangers.h5", "--against", "ref.h5", code=65)
    check("samples are others" in err, err)


def told(dfal):
    """info says what a reference holds and what to do with it, with and without its format and inputs."""
    w, _, x = make(dfal)
    for inputs, named in ((True, False), (False, False), (True, True)):
        write_reference(dfal.at("ref.h5"), x, forward(w, x), inputs=inputs)
        with h5py.File(dfal.at("ref.h5"), "a") as file:
            if named:
                file.attrs["format"] = "dfal-reference"
        facts = dfal.json("info", "ref.h5")
        line = f"dfal verify NET {'[POOL]' if inputs else 'POOL'} --against ref.h5"
        check((facts["format"], facts["samples"], facts["class_count"], facts["inputs"], sorted(facts["activations"]), facts["next"]) ==
              ("dfal-reference", 12, 4, "3 x 6 x 5" if inputs else "none", ["conv", "conv.relu"], line), f"{facts}")
        check(line in dfal.run("info", "ref.h5")[0], "the table")


def broken(dfal):
    w, _, x = make(dfal)
    values = forward(w, x)

    def refuses(code, says, *words, **change):
        arrays = {"logits": values["fc"].astype("f4"), "inputs": x, **change}
        with h5py.File(dfal.at("bad.h5"), "w") as file:
            for name, value in arrays.items():
                if value is not None:
                    file[name.replace("__", "/")] = value
        dfal.refuses(code, "verify", *(words or ("net.h5",)), "--against", "bad.h5", says=says)

    softmax = np.exp(values["fc"] - values["fc"].max(1, keepdims=True))
    softmax /= softmax.sum(1, keepdims=True)
    refuses(65, "looks like probabilities", logits=softmax.astype("f4"))
    refuses(65, "logarithms", logits=np.log(softmax + 1e-30).astype("f8"))
    refuses(65, "no dataset 'logits'", logits=None)
    refuses(65, "no dataset 'inputs'", inputs=None)
    refuses(65, "5 classes", logits=np.ones((12, 5), "f4"))
    refuses(65, "expected [samples, classes]", logits=np.ones(12, "f4"))
    refuses(65, "no floating-point", logits=np.ones((12, 4), "i4"))
    nan = values["fc"].astype("f4")
    nan[3, 2] = np.nan
    refuses(65, ("logit 2 of sample 3", "nan"), logits=nan)
    bad = x.copy()
    bad[5, 0, 0, 0] = np.inf
    refuses(65, ("'inputs'", "sample 5", "inf"), inputs=bad)
    refuses(65, "[12, channels", inputs=x[:5])
    refuses(65, "[3,6,4]", inputs=np.ones((12, 3, 6, 4), "f4"))
    refuses(65, "values a sample", activations__conv=np.ones((12, 7), "f4"))
    refuses(65, "expected 12 samples", activations__conv=values["conv"][:4].astype("f4"))
    refuses(65, ("row 99", "pool.h5 has 12 rows"), "net.h5", "pool.h5", index=np.array([0, 99] + [1] * 10))
    refuses(65, "[12] integers", index=np.zeros(5, int))
    with h5py.File(dfal.at("bad.h5"), "w") as file:
        file["logits"], file["inputs"] = values["fc"].astype("f4"), x
        for name in ("a", "b"):
            file[f"activations/{name}"] = values["conv"].astype("f4")
            file[f"activations/{name}"].attrs["node"] = "/conv"[1:]
    dfal.refuses(65, "verify", "net.h5", "--against", "bad.h5", says="both of node 'conv'")
    with h5py.File(dfal.at("out.h5"), "w") as file:
        file["logits"] = h5py.ExternalLink("bad.h5", "logits")
    dfal.refuses(65, "verify", "net.h5", "--against", "out.h5", says="external link")
    with h5py.File(dfal.at("unknown.h5"), "w") as file:
        file["logits"], file["inputs"] = values["fc"].astype("f4"), x
        file["activations/nobody"] = values["conv"].astype("f4")
    _, err = dfal.run("verify", "net.h5", "--against", "unknown.h5")
    check("'nobody'" in err and "left out" in err, err)
    for name in ("out.h5", "bad.h5"):
        dfal.run("info", name, code=65)
    dfal.refuses(66, "verify", "net.h5", "--against", "gone.h5", says="gone.h5")
    dfal.refuses(65, "verify", "net.h5", "--against", "pool.h5", says="dfal-pool")
    dfal.refuses(64, "verify", "net.h5", "--against", "unknown.h5", "--samples", "5", says="--samples")
    dfal.refuses(64, "verify", "net.h5", "pool.h5", says="--against")


main({f.__name__: f for f in (agreement, differences, broken, told)})
