#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the small ONNX files beside this script and references.hdf5, all of it with PyTorch.

Usage: make.py [FOLDER]

Needs torch, onnx, onnxscript, h5py (tests/peers/requirements.txt). Every file is a real export, by the TorchScript
exporter (`-script`) and by the newer one (`-dynamo`) where the two write different graphs; only the notes on their origin
that the newer one leaves at every node are taken out, but for LeNet's, and there the stack traces, which name the
folders of a machine. references.hdf5 holds a group a network
(its attribute `files` lists the exports of it) with input [N,C,H,W] f32, logits [N,K] f64, cotangents [N,K] f32 and
gradients [N,C,H,W] f64: the vector-Jacobian products, by PyTorch in float64. tests/test_onnx_golden.c reads both."""
import os
import sys
import warnings

import h5py
import numpy as np
import onnx
import torch
from torch import nn
from torch.nn import functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
ROWS, CLASSES = 2, 4


# ---- The networks --------------------------------------------------------------------------------

class LeNet(nn.Module):
    """The shape arithmetic of x.view(x.size(0), -1): Shape, Gather, Unsqueeze, Concat, Reshape."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 4, 5, padding=2), nn.Conv2d(4, 6, 3)
        self.fc1, self.fc2 = nn.Linear(24, 10), nn.Linear(10, CLASSES)

    def forward(self, x):
        x = F.max_pool2d(torch.relu(self.conv1(x)), 2)
        x = F.max_pool2d(torch.relu(self.conv2(x)), 2)
        x = x.view(x.size(0), -1)
        return self.fc2(torch.relu(self.fc1(x)))


def unit(inputs, outputs, kernel, activation, **options):
    pad = options.pop("padding", kernel // 2)
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, padding=pad, bias=False, **options),
                         nn.BatchNorm2d(outputs), *([activation()] if activation else []))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = unit(3, 6, 3, nn.ReLU, stride=2)
        self.a, self.b = unit(6, 6, 3, nn.ReLU), unit(6, 6, 3, None)
        self.c, self.d = unit(6, 8, 3, nn.ReLU, stride=2), unit(8, 8, 3, None)
        self.side = unit(6, 8, 1, None, stride=2, padding=0)
        self.fc = nn.Linear(8, CLASSES)

    def forward(self, x):
        x = self.stem(x)
        x = torch.relu(x + self.b(self.a(x)))
        x = torch.relu(self.d(self.c(x)) + self.side(x))
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


class Shared(nn.Module):
    """Untouched batch-norms: equal initialisers, which the exporter keeps once and hands on through Identity."""

    def __init__(self):
        super().__init__()
        self.norm, self.conv, self.last = nn.BatchNorm2d(3), nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)
        self.fc = nn.Linear(27, CLASSES)

    def forward(self, x):
        return self.fc(F.max_pool2d(torch.relu(self.last(torch.relu(self.conv(self.norm(x))))), 2).flatten(1))


class Inverted(nn.Module):
    """MobileNetV2's block: expansion, depthwise convolution, ReLU6 (Clip), linear projection."""

    def __init__(self):
        super().__init__()
        self.stem = unit(3, 4, 3, nn.ReLU6, stride=2)
        self.block = nn.Sequential(unit(4, 12, 1, nn.ReLU6), unit(12, 12, 3, nn.ReLU6, groups=12), unit(12, 4, 1, None))
        self.next = nn.Sequential(unit(4, 12, 1, nn.ReLU6), unit(12, 12, 5, nn.ReLU6, groups=12, stride=2),
                                  unit(12, 6, 1, None))
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(6, CLASSES))

    def forward(self, x):
        x = self.stem(x) * 3
        x = self.next(x + self.block(x))
        return self.head(x.mean([2, 3]))


class Squeeze(nn.Module):
    """MobileNetV3's and EfficientNet's squeeze and excitation, a block each; HardSwish, HardSigmoid, SiLU, Sigmoid."""

    def __init__(self):
        super().__init__()
        self.stem = unit(3, 6, 3, nn.Hardswish, stride=2)
        self.down, self.up = nn.Conv2d(6, 3, 1), nn.Conv2d(3, 6, 1)
        self.mid = unit(6, 8, 3, nn.SiLU, groups=2)
        self.down2, self.up2 = nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1)
        self.fc1, self.fc2 = nn.Linear(8, 8), nn.Linear(8, CLASSES)

    def forward(self, x):
        x = self.stem(x)
        x = F.hardsigmoid(self.up(torch.relu(self.down(F.adaptive_avg_pool2d(x, 1))))) * x
        x = self.mid(x)
        x = x * torch.sigmoid(self.up2(F.silu(self.down2(F.adaptive_avg_pool2d(x, 1)))))
        return self.fc2(F.hardswish(self.fc1(F.adaptive_avg_pool2d(x, 1).flatten(1))))


class Dense(nn.Module):
    """DenseNet's block: batch-norm before ReLU cannot fold into a convolution in front of it."""

    def __init__(self):
        super().__init__()
        self.stem = unit(3, 4, 3, nn.ReLU)
        self.norm1, self.conv1 = nn.BatchNorm2d(4), nn.Conv2d(4, 3, 3, padding=1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(7), nn.Conv2d(7, 3, 3, padding=1, bias=False)
        self.norm3, self.conv3 = nn.BatchNorm2d(10), nn.Conv2d(10, 5, 1, bias=False)
        self.norm4 = nn.BatchNorm2d(5)
        self.fc = nn.Linear(5, CLASSES)

    def forward(self, x):
        x = F.max_pool2d(self.stem(x), 3, 2, 1)
        x = torch.cat([x, self.conv1(torch.relu(self.norm1(x)))], 1)
        x = torch.cat([x, self.conv2(torch.relu(self.norm2(x)))], 1)
        x = F.avg_pool2d(self.conv3(torch.relu(self.norm3(x))), 2)
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(torch.relu(self.norm4(x)), (1, 1)), 1))


class Fire(nn.Module):
    """SqueezeNet: two convolutions joined; the head is Conv, ReLU, GlobalAveragePool: no Gemm at the end."""

    def __init__(self):
        super().__init__()
        self.squeeze, self.one, self.three = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 3, padding=1)
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Conv2d(8, CLASSES, 1), nn.ReLU(), nn.AdaptiveAvgPool2d((1, 1)))

    def forward(self, x):
        x = F.max_pool2d(torch.relu(self.squeeze(x)), 3, 2, ceil_mode=True)
        x = torch.cat([torch.relu(self.one(x)), torch.relu(self.three(x))], 1)
        return torch.flatten(self.head(x), 1)


class ChannelsLast(nn.Module):
    """The weight of the dense layer expects H, W, C: a Transpose before Flatten and Gemm."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(2, 3, 3, stride=2), nn.Linear(36, CLASSES)

    def forward(self, x):
        return self.fc(F.leaky_relu(self.conv(x), 0.1).permute(0, 2, 3, 1).flatten(1))


class Pools(nn.Module):
    """Windows that hang over: ceil_mode, padding counted and not counted, unequal kernels and strides; Pad."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 4, (3, 2), stride=(2, 1), dilation=(1, 2), padding=(2, 1))
        self.fc = nn.Linear(32, CLASSES)

    def forward(self, x):
        x = F.pad(x, (1, 2, 0, 1), value=0.25)
        x = torch.relu(self.conv(x))
        x = F.avg_pool2d(x, 3, (1, 2), 1, count_include_pad=False)
        x = F.max_pool2d(x, (2, 3), 2, (1, 1), ceil_mode=True)
        x = F.avg_pool2d(x, 2, 1, (1, 0), ceil_mode=True, count_include_pad=True)
        x = F.max_pool2d(F.pad(x, (-1, 1, 0, 0)), 2, (1, 2), ceil_mode=True)
        return self.fc(x.flatten(1))


class Arithmetic(nn.Module):
    """Constants that fold into the next affine layer, and those between nodes that cannot; MatMul without Gemm."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.48, 0.45, 0.41]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.23, 0.22, 0.24]).view(1, 3, 1, 1))
        self.conv = nn.Conv2d(3, 4, 3)
        self.scale = nn.Parameter(torch.tensor([0.5, -1.5, 2.0, 0.7]).view(4, 1, 1))
        self.weight, self.shift = nn.Parameter(torch.randn(4, CLASSES)), nn.Parameter(torch.randn(CLASSES))

    def forward(self, x):
        x = (x - self.mean) / self.std
        x = torch.relu(self.conv(x)) * self.scale + 0.25
        y = torch.sigmoid(x)
        x = (x - y) / (1 + y)
        return torch.matmul(x.mean((2, 3)), self.weight) + self.shift


class Probabilities(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 3, 3, stride=2), nn.Linear(27, CLASSES)

    def forward(self, x):
        return F.softmax(self.logits(x), dim=1)

    def logits(self, x):
        return self.fc(torch.relu(self.conv(x)).flatten(1))


# ---- Exports and references ----------------------------------------------------------------------

def script(model, x, path, opset, dynamic=False, kept=False):
    options = {"dynamic_axes": {"image": {0: "batch"}, "scores": {0: "batch"}}} if dynamic else {}
    if kept:  # batch-norm stays a node of its own
        options.update(training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False)
    torch.onnx.export(model, (x,), path, dynamo=False, opset_version=opset, input_names=["image"],
                      output_names=["scores"], **options)


def dynamo(model, x, path, opset, dynamic=False, external=False, optimize=True):
    options = {"dynamic_shapes": ({0: torch.export.Dim("batch", min=1, max=4096)},)} if dynamic else {}
    if dynamic:
        x = x.repeat(2, 1, 1, 1)
    torch.onnx.export(model, (x,), path, dynamo=True, opset_version=opset, external_data=external, optimize=optimize,
                      verbose=False, **options)


# network, input [C,H,W], its exports: file, exporter, opset, options
CASES = [
    (LeNet, (1, 12, 12), [
        ("lenet-static-script", script, 13, {}),
        ("lenet-dynamic-script", script, 9, {"dynamic": True}),
        ("lenet-static-dynamo", dynamo, 20, {}),
        ("lenet-dynamic-dynamo", dynamo, 18, {"dynamic": True, "optimize": False}),
    ]),
    (Residual, (3, 13, 14), [
        ("residual-folded-script", script, 17, {"dynamic": True}),
        ("residual-kept-script", script, 15, {"kept": True}),
        ("residual-dynamo", dynamo, 18, {"dynamic": True}),
        ("residual-external-script", script, 17, {"outside": True}),
        ("residual-external-dynamo", dynamo, 18, {"external": True}),
    ]),
    (Shared, (3, 8, 8), [
        ("shared-script", script, 13, {}),
    ]),
    (Inverted, (3, 12, 12), [
        ("inverted-script", script, 11, {}),
        ("inverted-dynamo", dynamo, 18, {"dynamic": True}),
    ]),
    (Squeeze, (3, 11, 12), [
        ("squeeze-excite-script-13", script, 13, {}),
        ("squeeze-excite-script-16", script, 16, {"dynamic": True}),
        ("squeeze-excite-dynamo", dynamo, 18, {}),
    ]),
    (Dense, (3, 12, 13), [
        ("dense-script", script, 14, {"dynamic": True}),
        ("dense-dynamo", dynamo, 19, {}),
    ]),
    (Fire, (3, 10, 10), [
        ("fire-script", script, 12, {"dynamic": True}),
        ("fire-dynamo", dynamo, 18, {}),
    ]),
    (ChannelsLast, (2, 9, 7), [
        ("channels-last-script", script, 13, {"dynamic": True}),
        ("channels-last-dynamo", dynamo, 18, {}),
    ]),
    (Pools, (2, 9, 11), [
        ("pools-script", script, 13, {}),
        ("pools-dynamo", dynamo, 18, {}),
    ]),
    (Arithmetic, (3, 8, 9), [
        ("arithmetic-script", script, 17, {"dynamic": True}),
        ("arithmetic-dynamo", dynamo, 18, {}),
    ]),
    (Probabilities, (1, 8, 8), [
        ("softmax-script", script, 13, {}),
        ("softmax-dynamo", dynamo, 20, {}),
    ]),
]


def network(kind, shape):
    """Random weights, batch-norm statistics from one pass over random images and then bent a little."""
    torch.manual_seed(7)
    model = kind()
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d) and kind is not Shared:
            part.momentum = None
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.uniform_(part.bias, -0.5, 0.5)
    if kind is not Shared:
        model.train()
        with torch.no_grad():
            model(torch.randn(64, *shape))
    return model.eval()


def reference(model, shape):
    generator = torch.Generator().manual_seed(11)
    x = torch.randn(ROWS, *shape, generator=generator)
    cotangents = torch.randn(ROWS, CLASSES, generator=generator)
    double = model.double()
    image = x.double().requires_grad_()
    logits = getattr(double, "logits", double)(image)
    gradients = torch.autograd.grad(logits, image, cotangents.double())[0]
    return {"input": x, "logits": logits.detach(), "cotangents": cotangents, "gradients": gradients}


def tidy(path, outside):
    """Drop the notes; move the weights outside where that is asked for, into NAME.bin beside the model."""
    model = onnx.load(path, load_external_data=False)
    for holder in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output,
                   *model.graph.value_info, *model.graph.initializer):
        left = [p for p in holder.metadata_props if "trace" not in p.key and path.startswith("lenet")]
        del holder.metadata_props[:]
        holder.metadata_props.extend(left)
        holder.doc_string = ""
    options = {}
    if outside:
        options = {"save_as_external_data": True, "location": path[:-5] + ".bin", "size_threshold": 64}
    onnx.save(model, path, **options)
    if outside:
        os.chmod(options["location"], 0o644)


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else HERE
    warnings.simplefilter("ignore")
    os.chdir(folder)
    for old in os.listdir("."):
        if old.endswith((".onnx", ".bin", ".data", ".hdf5")):
            os.remove(old)
    with h5py.File("references.hdf5", "w", libver=("earliest", "v110")) as file:
        for kind, shape, exports in CASES:
            for name, export, opset, options in exports:
                path, outside = f"{name}.onnx", options.pop("outside", False)
                export(network(kind, shape), torch.zeros(1, *shape), path, opset, **options)
                tidy(path, outside)
                onnx.checker.check_model(path)
                graph = onnx.load(path, load_external_data=False)
                ops = [node.op_type for node in graph.graph.node]
                counts = ", ".join(f"{op} {ops.count(op)}" for op in sorted(set(ops)))
                print(f"{name}: {os.path.getsize(path)} bytes, IR {graph.ir_version}, opset "
                      f"{graph.opset_import[0].version}: {counts}")
            group = file.create_group(kind.__name__)
            group.attrs["files"] = [name for name, *_ in exports]
            for key, value in reference(network(kind, shape), shape).items():
                group.create_dataset(key, data=value.numpy(), track_times=False)
    total = sum(os.path.getsize(f) for f in os.listdir(".") if os.path.isfile(f))
    print(f"{total} bytes in all")


if __name__ == "__main__":
    main()
