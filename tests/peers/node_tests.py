#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The node tests of the `onnx` package through `dfal logits`: every op dfal claims, every test of it, none skipped silently.

dfal reads classifiers: one image input [batch,C,H,W], one output [batch,K], weights as constants. A node test becomes one so:
  * the first input is the image (missing axes are 1, a Reshape takes them away again), the first axis is the batch;
  * tests of element-wise ops have no batch: theirs is 1, in front;
  * further inputs become initialisers; where two inputs have one shape the test runs a second time with both of them
    cut out of one image by 1x1 convolutions, so that the op has two activations;
  * the output is flattened and multiplied with the identity.
A test that cannot be told so is "not applicable" and printed with its reason. Passed, claimed and not applicable are
asserted for the pinned version of the package."""
import collections
import contextlib
import io
import os
import sys
import tempfile
import warnings

import h5py
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from common import arguments, call, write_pool

# ecosystem's tiers A and B, and the shape arithmetic around them
CLAIMED = ("Add AveragePool BatchNormalization Cast Clip Concat Constant ConstantOfShape Conv Div Dropout Flatten Gather Gemm "
           "GlobalAveragePool HardSigmoid HardSwish Identity LeakyRelu LogSoftmax MatMul MaxPool Mul Pad ReduceMean Relu "
           "Reshape Shape Sigmoid Slice Softmax Squeeze Sub Transpose Unsqueeze").split()
ELEMENTWISE = "Add Clip Div Dropout HardSigmoid HardSwish Identity LeakyRelu Mul Relu Sigmoid Sub".split()
JOINS = "Add Sub Mul Div Concat".split()
# What the pinned package holds: tests of claimed ops, of those applicable, and runs (two for tests of two activations).
EXPECTED = {"1.23.2": {"tests": 0, "applicable": 0, "runs": 0}}


def dims_of(value):
    return [d.dim_value for d in value.type.tensor_type.shape.dim]


def collect():
    """(name, model, inputs, outputs) of every test whose ops are all claimed, values as arrays."""
    from onnx.backend.test.case.node import collect_testcases
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        np.seterr(all="ignore")
        cases = collect_testcases(None)
    for case in sorted(cases, key=lambda case: case.name):
        ops = {node.op_type for node in case.model.graph.node}
        if ops and ops <= set(CLAIMED):
            yield case.name, case.model, case.data_sets[0][0], case.data_sets[0][1]


def attribute(node, name, default=None):
    for one in node.attribute:
        if one.name == name:
            return helper.get_attribute_value(one)
    return default


def reason_against(model, inputs, outputs):
    """Why a test cannot be a classifier of images; None when it can. Decided from the test alone."""
    nodes, first = list(model.graph.node), model.graph.node[0]
    ops = {node.op_type for node in nodes}
    kinds = {value.type.WhichOneof("value") for value in (*model.graph.input, *model.graph.output)}
    if kinds != {"tensor_type"}:
        return "a sequence or an optional value"
    if not inputs:
        return "no input: a constant alone"
    if not isinstance(outputs[0], np.ndarray) or outputs[0].dtype.kind not in "f" or outputs[0].dtype.itemsize < 4:
        if isinstance(outputs[0], np.ndarray) and outputs[0].dtype.kind == "i" and ops & {"Shape"}:
            return "the output is a shape, not activations"
        return "the values are not float32 (integers, text, half or smaller)"
    if not isinstance(inputs[0], np.ndarray) or inputs[0].dtype != np.float32 or outputs[0].dtype != np.float32:
        return "the values are not float32 (integers, text, half or smaller)"
    if first.op_type == "BatchNormalization" and attribute(first, "training_mode", 0):
        return "training mode"
    if first.op_type == "Dropout" and len(inputs) == 3 and bool(inputs[2]):
        return "training mode"
    if len(model.graph.output) > 1:
        return "more than one output"
    if inputs[0].ndim > 4:
        return "three-dimensional windows or more than four axes"
    if 0 in inputs[0].shape or outputs[0].size == 0:
        return "an empty value"
    if ops <= set(ELEMENTWISE):
        return None
    return mixes(first, ops, inputs, outputs)


def mixes(first, ops, inputs, outputs):
    """The first axis is the batch: ops that reach across it, or take it apart, ask for a function of several samples."""
    x, y, across = inputs[0], outputs[0], "reaches across the first axis, which is the batch"
    axis = attribute(first, "axis", None)
    if x.ndim < 2 or y.ndim < 2 or (x.shape[0] != y.shape[0]):
        return across
    if first.op_type in ("Softmax", "LogSoftmax") and y.ndim != 2:
        return "a softmax over a part of a sample's values: it cannot be cut off"
    if first.op_type in ("Softmax", "LogSoftmax", "Concat") and axis is not None and axis % x.ndim == 0:
        return across
    if first.op_type == "Transpose" and attribute(first, "perm", list(range(x.ndim))[::-1])[0] != 0:
        return across
    if first.op_type == "ReduceMean" and (inputs[1].size == 0 or 0 in inputs[1] % x.ndim):
        return across
    if first.op_type == "Flatten" and axis is not None and axis % x.ndim != 1:
        return across
    if first.op_type == "Gemm" and attribute(first, "transA", 0):
        return across
    if first.op_type == "Gemm" and len(inputs) > 2 and inputs[2].ndim == 2 and inputs[2].shape[0] not in (1,):
        return "a constant that differs from sample to sample"
    if first.op_type == "MatMul" and x.ndim > 2:
        return "a stack of products: the second operand differs from sample to sample, or x is no row"
    if first.op_type == "Pad" and any(p != 0 for p in pads_of_batch(inputs, x.ndim)):
        return across
    if first.op_type == "Slice":
        starts, axes = inputs[1], inputs[3] if len(inputs) > 3 else np.arange(len(inputs[1]))
        if 0 in [int(a) % x.ndim for a, _ in zip(axes, starts)] and x.shape[0] != y.shape[0]:
            return across
    return None


def pads_of_batch(inputs, rank):
    axes = [int(a) % rank for a in inputs[3]] if len(inputs) > 3 else list(range(rank))
    pads = inputs[1]
    return [pads[k + side * len(axes)] for k, a in enumerate(axes) if a == 0 for side in (0, 1)]


def as_classifier(model, inputs, outputs, twice):
    """The test as a classifier: (model, image [N,C,H,W], expected [N,K])."""
    elementwise = {node.op_type for node in model.graph.node} <= set(ELEMENTWISE)
    lead = (1,) if elementwise and (inputs[0].ndim < 4 or twice) else ()
    if lead and inputs[0].ndim > 3:
        raise ValueError("four axes and a batch")
    shape = lead + inputs[0].shape
    y = outputs[0].reshape(shape[0], -1)
    k = y.shape[1]
    graph = onnx.GraphProto()
    graph.name = "test"
    names = [value.name for value in model.graph.input]
    image_shape = list(shape) + [1] * (4 - len(shape))
    cut = names[:2] if twice else names[:1]
    image = np.concatenate([value.reshape(image_shape) for value in inputs[:len(cut)]], 1)
    graph.input.append(helper.make_tensor_value_info("image", TensorProto.FLOAT, image.shape))
    graph.output.append(helper.make_tensor_value_info("scores", TensorProto.FLOAT, [shape[0], k]))
    add = lambda name, values: graph.initializer.append(numpy_helper.from_array(values, name))
    for i, name in enumerate(cut):
        source = "image"
        if twice:
            c = image_shape[1]
            weight = np.zeros((c, 2 * c, 1, 1), np.float32)
            weight[np.arange(c), i * c + np.arange(c)] = 1
            add(f"cut{i}", weight)
            source = f"part{i}"
            graph.node.append(helper.make_node("Conv", ["image", f"cut{i}"], [source], kernel_shape=[1, 1]))
        if image_shape != list(shape):
            add(f"shape{i}", np.array(shape, np.int64))
            graph.node.append(helper.make_node("Reshape", [source, f"shape{i}"], [name]))
        else:
            graph.node.append(helper.make_node("Identity", [source], [name]))
    for name, value in list(zip(names, inputs))[len(cut):]:
        add(name, np.asarray(value))
    graph.initializer.extend(model.graph.initializer)
    graph.node.extend(model.graph.node)
    result = model.graph.output[0].name
    if model.graph.node[-1].op_type in ("Softmax", "LogSoftmax"):
        graph.node[-1].output[0] = "scores"  # only a softmax at the very end can be cut off
    else:
        add("identity", np.eye(k, dtype=np.float32))
        graph.node.append(helper.make_node("Flatten", [result], ["flat"], axis=1))
        graph.node.append(helper.make_node("Gemm", ["flat", "identity"], ["scores"]))
    made = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    return made, image.astype(np.float32), y


def softmax(x, log):
    x = x - x.max(1, keepdims=True)
    x = x - np.log(np.exp(x).sum(1, keepdims=True))
    return x if log else np.exp(x)


def run(found, folder, backend, made, image, expected, last):
    """Largest difference over the largest value; an error's sentence when dfal refuses."""
    paths = [os.path.join(folder, name) for name in ("test.onnx", "pool.h5", "logits.h5")]
    onnx.save(made, paths[0])
    write_pool(paths[1], image, classes=max(expected.shape[1], 2))
    try:
        call([found.dfal, "-q", "--force", "--backend", backend, "logits", paths[0], paths[1], "-o", paths[2]])
    except RuntimeError as error:
        return str(error).split("exit ", 1)[1].replace(paths[0], "M.onnx")
    with h5py.File(paths[2]) as file:
        y = file["logits"][()].astype(np.float64)
    if last in ("Softmax", "LogSoftmax"):
        y = softmax(y, last == "LogSoftmax")
    if y.shape != expected.shape:
        return f"the logits are {y.shape}, expected {expected.shape}"
    difference = float(np.abs(y - expected).max() / max(np.abs(expected).max(), 1e-6))
    return None if difference <= 1e-5 else f"the values differ by {difference:.2e} of the largest"


def main():
    found = arguments(__doc__, lambda parser: parser.add_argument("--only", default="", help="part of the tests' names"))
    passed, failed, left = [], [], collections.defaultdict(list)
    by_op = collections.defaultdict(lambda: [0, 0, 0])
    tests = 0
    with tempfile.TemporaryDirectory(dir=found.work) as folder:
        for name, model, inputs, outputs in collect():
            if found.only not in name:
                continue
            tests += 1
            op = model.graph.node[0].op_type if len(model.graph.node) == 1 else "several"
            reason = reason_against(model, inputs, outputs)
            if reason:
                left[reason].append(name)
                by_op[op][2] += 1
                continue
            joins = op in JOINS and len(inputs) == 2 and inputs[0].shape == inputs[1].shape
            by_op[op][0] += 1
            good = True
            for twice in (False, True) if joins else (False,):
                made, image, expected = as_classifier(model, inputs, outputs, twice)
                onnx.checker.check_model(made)
                for backend in ("ref", "cpu"):
                    problem = run(found, folder, backend, made, image, expected, model.graph.node[-1].op_type)
                    label = f"{name}{' with two activations' if twice else ''} on {backend}"
                    if problem:
                        good = False
                        failed.append(f"{label}: {problem}")
                    else:
                        passed.append(label)
            by_op[op][1] += good
    print("op: tests, applicable, passed")
    for op in sorted(by_op):
        applicable, good, other = by_op[op]
        print(f"  {op:20s} {applicable + other:4d} {applicable:4d} {good:4d}")
    print("not applicable, by reason:")
    for reason in sorted(left):
        print(f"  {reason}: {len(left[reason])}")
        for name in left[reason]:
            print(f"    {name}")
    applicable = sum(row[0] for row in by_op.values())
    good = sum(row[1] for row in by_op.values())
    print(f"onnx {onnx.__version__}: {tests} tests of {len(CLAIMED)} claimed ops, {applicable} applicable, {good} passed; "
          f"{len(passed) + len(failed)} runs, {len(passed)} passed; {tests - applicable} not applicable")
    print("\n".join(failed))
    totals = {"tests": tests, "applicable": applicable, "runs": len(passed) + len(failed)}
    if not found.only and totals != EXPECTED.get(onnx.__version__, totals):
        failed.append("totals")
        print(f"the totals are {totals}, expected {EXPECTED[onnx.__version__]}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
