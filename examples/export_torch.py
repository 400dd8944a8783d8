#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A PyTorch classifier as M.onnx, and beside it M.ref.h5: inputs, logits and activations to verify dfal with.

    python export_torch.py resnet18 -o resnet18.onnx --classes 10 --checkpoint trained.pt --size 224 \\
        --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 [--pool pool.h5]
    dfal verify resnet18.onnx [pool.h5] --against resnet18.ref.h5

MODEL is a name of torchvision or module:function, which is called without arguments and returns the network; a class will do,
and the module may lie in the current folder: model:Net is class Net of model.py. Its outputs are logits: leave the softmax off. Needs torch, onnx, h5py, numpy; torchvision for its names, onnxscript for --exporter dynamo.
"""
import argparse
import ast
import importlib
import os
import re
import sys

import h5py
import numpy as np
import onnx
import torch


def build(name, classes, checkpoint):
    if ":" in name:
        module, function = name.split(":")
        sys.path.insert(0, os.getcwd())  # Python itself looks only where this script lies
        model = getattr(importlib.import_module(module), function)()
    else:
        import torchvision
        model = torchvision.models.get_model(name, **({"num_classes": classes} if classes else {}))
    if checkpoint:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        model.load_state_dict(state.get("state_dict", state.get("model", state)))
    return model.eval()


def export(model, x, a):
    """In eval mode: no dropout, batch-norm with its statistics, folded into convolutions where the exporter does that."""
    more = {"dynamic_axes": {"input": {0: "n"}, "logits": {0: "n"}} if a.dynamic else None}
    if a.exporter == "dynamo":
        more = {"dynamic_shapes": ({0: torch.export.Dim("n")},) if a.dynamic else None, "external_data": False}
    torch.onnx.export(model, (x,), a.out, dynamo=a.exporter == "dynamo", opset_version=a.opset, input_names=["input"],
                      output_names=["logits"], **more)


def values_of_modules(model, graph):
    """{module's name: the ONNX value that each of its calls computes}"""
    groups = {}
    for node in graph.node:
        scopes = {p.key: p.value for p in node.metadata_props}.get("pkg.torch.onnx.name_scopes")
        if scopes:  # dynamo: ['', 'layer1', 'layer1.0', 'layer1.0.conv1', 'conv2d_1']
            path = ast.literal_eval(scopes)
            name, call = path[-2:]
        else:  # TorchScript: /layer1/layer1.0/relu_1/Relu, a second call counts
            module, name, call = model, [], ""
            for part in node.name.split("/")[1:-1]:
                children, part = dict(module.named_children()), part.split(".")[-1]
                plain = part if part in children else re.sub(r"_\d+$", "", part)
                if plain not in children:
                    break
                module, call = children[plain], call + part[len(plain):] + "/"
                name.append(plain)
            name = ".".join(name)
        groups.setdefault(name, {})[call] = node.output[0]  # the last node of a call is its result
    return {name: list(calls.values()) for name, calls in groups.items() if name}


def activations(model, x, values):
    """{ONNX value: what PyTorch computes there}, in the order of computation, and the logits."""
    seen, calls, last = {}, {}, [None]

    def hook(name, module):
        def record(_, inputs, output):
            number = calls[name] = calls.get(name, -1) + 1
            known = values.get(name, [])
            value = known[number] if number < len(known) else None
            if value is None and isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                value = last[0]  # folded into what stands before it: that value is this one's result
            last[0] = value
            if value is not None and torch.is_tensor(output):
                seen[value] = output.detach().clone()  # a ReLU in place comes afterwards
        return record

    for name, module in model.named_modules():
        if not list(module.children()):
            module.register_forward_hook(hook(name, module))
    with torch.no_grad():
        logits = model(x)
    return seen, logits


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("model")
    add("-o", "--out", required=True)
    add("--checkpoint", help="a state dict, or a file that holds one under 'state_dict' or 'model'")
    for name, default in ("classes", None), ("size", 224), ("channels", 3), ("opset", 18), ("samples", 16):
        add(f"--{name}", type=int, default=default)
    add("--exporter", choices=["torchscript", "dynamo"], default="torchscript")
    add("--dynamic", action="store_true", help="leave the number of samples open")
    add("--mean", default="0", help="of pixels in [0, 1], one or one a channel; likewise --std")
    add("--std", default="1")
    add("--pool", help="the reference's inputs are the first rows of this dfal pool (u8)")
    return parser.parse_args()


def main():
    a = arguments()
    mean, std = (np.array([float(v) for v in text.split(",")]) for text in (a.mean, a.std))
    torch.manual_seed(1)
    model = build(a.model, a.classes, a.checkpoint)
    x = torch.randn(a.samples, a.channels, a.size, a.size)
    if a.pool:
        with h5py.File(a.pool) as pool:
            pixels = torch.from_numpy(pool["samples"][:a.samples]) / 255
        x = (pixels - torch.tensor(mean).view(1, -1, 1, 1)).div(torch.tensor(std).view(1, -1, 1, 1)).float()
    export(model, x[:2] if a.dynamic else x[:1], a)
    proto = onnx.load(a.out)
    if (a.mean, a.std) != ("0", "1"):  # what dfal warns about when a pool is scaled in another way
        scale, offset = np.broadcast_arrays(1 / (255 * std), -mean / std)
        onnx.helper.set_model_props(proto, {"dfal.scale": ",".join(map(repr, scale.tolist())),
                                            "dfal.offset": ",".join(map(repr, offset.tolist()))})
        onnx.save(proto, a.out)
    seen, logits = activations(model, x, values_of_modules(model, proto.graph))
    with h5py.File(re.sub(r"\.onnx$", "", a.out) + ".ref.h5", "w") as file:
        file["logits"], file["inputs"] = logits.numpy(), x.numpy()
        if a.pool:
            file["index"] = np.arange(len(x))
        for order, (value, output) in enumerate(seen.items()):
            node = value.lstrip("/").replace("/", ".")  # as dfal names it
            file[f"activations/{node}"] = output.numpy()
            file[f"activations/{node}"].attrs["order"] = order
    print(f"{a.out}: {len(proto.graph.node)} nodes, opset {a.opset}; {len(x)} samples and {len(seen)} activations beside it")


if __name__ == "__main__":
    main()
