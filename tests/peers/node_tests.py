#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The node tests of the `onnx` package through `dfal logits`: every op dfal claims, every test of it, none skipped silently.

dfal reads classifiers: one image input [batch,C,H,W], one output [batch,K], weights as constants. A node test becomes one so:
  * the first input is the image (missing axes are 1, a Reshape takes them away again), the first axis is the batch;
  * tests of element-wise ops have no batch: theirs is 1, in front;
  * further inputs become initialisers; where two inputs have one shape the test runs a second time with both of them
    cut out of one image by 1x1 convolutions, so that the op has two activations;
  * the output is flattened and multiplied with the identity.
Tests of shape arithmetic (whole numbers, Shape, Slice, Gather...) run as constants: the result is added to the image.
A test that cannot be told so is "not applicable", one that dfal refuses in its documentation is "refused" (and has to be:
exit code 65); both are printed with the reason. All counts are asserted for the pinned version of the package."""
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
CLAIMED = ("Add AveragePool BatchNormalization Cast Ceil Clip Concat Constant ConstantOfShape Conv Div Dropout Elu Erf Flatten Floor "
           "Gather Gelu Gemm GlobalAveragePool GlobalMaxPool HardSigmoid HardSwish Identity LeakyRelu LogSoftmax MatMul MaxPool Mul "
           "Pad PRelu ReduceMean ReduceProd Relu Reshape Shape Sigmoid Size Slice Softmax Softplus Squeeze Sub Tanh Transpose "
           "Unsqueeze").split()
ELEMENTWISE = "Add Clip Div Dropout Elu Erf Gelu HardSigmoid HardSwish Identity LeakyRelu Mul Relu Sigmoid Softplus Sub Tanh".split()
SOFTMAX = ("Softmax", "LogSoftmax")
JOINS = "Add Sub Mul Div Concat".split()
FOLDED = ("Add Cast Ceil Concat Constant ConstantOfShape Div Floor Gather Identity Mul ReduceProd Reshape Shape Size Slice "
          "Squeeze Sub Transpose Unsqueeze").split()
SHAPES_ONLY = "Ceil Floor Gather ReduceProd Size Slice".split()
FOLDED_TYPES = (np.float32, np.int64, np.int32)
# Refused in so many words, test by test (docs/FORMATS.md).
REFUSED = {
    "test_averagepool_2d_dilations": "a dilated average",
    "test_concat_3d_axis_2": "channels are joined, not columns",
    "test_concat_3d_axis_negative_1": "channels are joined, not columns",
    "test_prelu_broadcast": "a slope a column",
    "test_prelu_example": "a slope a value",
}
# What the pinned package holds.
EXPECTED = {"1.23.2": {"tests": 404, "passed": 191, "refused": 5, "not applicable": 208, "runs": 406}}


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
    if ops & {"AveragePool", "MaxPool", "Conv"} and inputs[0].ndim == 3:
        return "one-dimensional windows"
    if inputs[0].ndim > 4:
        return "three-dimensional windows or more than four axes"
    if 0 in inputs[0].shape or outputs[0].size == 0:
        return "an empty value"
    if ops <= set(ELEMENTWISE):
        return None
    if first.op_type in SHAPES_ONLY and len(nodes) == 1:
        return "works on an activation, not on a shape"
    return mixes(first, ops, inputs, outputs)


def mixes(first, ops, inputs, outputs):
    """The first axis is the batch: ops that reach across it, or take it apart, ask for a function of several samples."""
    x, y, across = inputs[0], outputs[0], "reaches across the first axis, which is the batch"
    axis = attribute(first, "axis", None)
    if x.ndim < 2 or y.ndim < 2 or (x.shape[0] != y.shape[0]):
        return across
    if first.op_type in SOFTMAX and y.ndim != 2:
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
    return None


def pads_of_batch(inputs, rank):
    axes = [int(a) % rank for a in inputs[3]] if len(inputs) > 3 else list(range(rank))
    pads = inputs[1]
    return [pads[k + side * len(axes)] for k, a in enumerate(axes) if a == 0 for side in (0, 1)]


def as_classifier(model, inputs, outputs, twice):
    """The test as a classifier: (model, image [N,C,H,W], expected [N,K])."""
    elementwise = {node.op_type for node in model.graph.node} <= set(ELEMENTWISE)
    lead = (1,) if elementwise and inputs[0].ndim < 4 else ()
    shape = lead + inputs[0].shape
    image_shape = list(shape) + [1] * (4 - len(shape))
    names = [value.name for value in model.graph.input]
    cut = names[:2] if twice else names[:1]
    image = np.concatenate([value.reshape(image_shape) for value in inputs[:len(cut)]], 1)
    graph, add = begin(image, shape[0], outputs[0].size // shape[0])
    last = model.graph.node[-1].op_type
    for i, name in enumerate(cut):
        source = "image"
        if twice:
            c = image_shape[1]
            weight = np.zeros((c, 2 * c, 1, 1), np.float32)
            weight[np.arange(c), i * c + np.arange(c)] = 1
            add(f"cut{i}", weight)
            source = f"part{i}"
            graph.node.append(helper.make_node("Conv", ["image", f"cut{i}"], [source], kernel_shape=[1, 1]))
        inner = name + ".before" if last in SOFTMAX else name
        add(f"shape{i}", np.array(shape, np.int64))
        graph.node.append(helper.make_node("Reshape", [source, f"shape{i}"], [inner]))
        if last in SOFTMAX:
            add("before", np.eye(shape[1], dtype=np.float32))
            graph.node.append(helper.make_node("Gemm", [inner, "before"], [name]))
    for name, value in list(zip(names, inputs))[len(cut):]:
        add(name, np.asarray(value))
    graph.initializer.extend(model.graph.initializer)
    graph.node.extend(model.graph.node)
    return end(model, graph, add, outputs[0].reshape(shape[0], -1), last), image, widen(outputs[0].reshape(shape[0], -1))


def as_constant(model, inputs, outputs):
    """The test's result added to an image [1,K,1,1]: nothing but constants goes into the op."""
    flat = np.asarray(outputs[0]).reshape(1, -1).astype(np.float64)
    image = np.linspace(-1, 1, flat.size, dtype=np.float32).reshape(1, -1, 1, 1)
    graph, add = begin(image, 1, flat.size)
    for value, array in zip(model.graph.input, inputs):
        add(value.name, np.asarray(array))
    graph.initializer.extend(model.graph.initializer)
    graph.node.extend(model.graph.node)
    add("row", np.array([1, flat.size], np.int64))
    graph.node.append(helper.make_node("Cast", [model.graph.output[0].name], ["real"], to=TensorProto.FLOAT))
    graph.node.append(helper.make_node("Reshape", ["real", "row"], ["constant"]))
    graph.node.append(helper.make_node("Flatten", ["image"], ["rows"], axis=1))
    graph.node.append(helper.make_node("Add", ["rows", "constant"], ["sum"]))
    model.graph.output[0].name = "sum"
    flat = flat + image.reshape(1, -1)
    return end(model, graph, add, flat, None), image, widen(flat)


def begin(image, rows, classes):
    graph = onnx.GraphProto()
    graph.name = "test"
    graph.input.append(helper.make_tensor_value_info("image", TensorProto.FLOAT, image.shape))
    graph.output.append(helper.make_tensor_value_info("scores", TensorProto.FLOAT, [rows, max(classes, 2)]))
    return graph, lambda name, values: graph.initializer.append(numpy_helper.from_array(values, name))


def end(model, graph, add, expected, last):
    """A softmax at the very end is cut off; else the result times the identity, which has a column more for one class."""
    if last in SOFTMAX:
        graph.node[-1].output[0] = "scores"
    else:
        add("identity", np.eye(expected.shape[1], max(expected.shape[1], 2), dtype=np.float32))
        graph.node.append(helper.make_node("Flatten", [model.graph.output[0].name], ["flat"], axis=1))
        graph.node.append(helper.make_node("Gemm", ["flat", "identity"], ["scores"]))
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)


def widen(expected):
    return expected if expected.shape[1] > 1 else np.pad(expected, ((0, 0), (0, 1)))


def softmax(x, log):
    x = x - x.max(1, keepdims=True)
    x = x - np.log(np.exp(x).sum(1, keepdims=True))
    return x if log else np.exp(x)


def run(found, folder, backend, made, image, expected, last):
    """Largest difference over the largest value; an error's sentence when dfal refuses."""
    paths = [os.path.join(folder, name) for name in ("test.onnx", "pool.h5", "logits.h5")]
    onnx.save(made, paths[0])
    write_pool(paths[1], image, classes=expected.shape[1])
    try:
        call([found.dfal, "-q", "--force", "--backend", backend, "logits", paths[0], paths[1], "-o", paths[2]])
    except RuntimeError as error:
        return str(error).split("exit ", 1)[1].replace(paths[0], "M.onnx")
    with h5py.File(paths[2]) as file:
        y = file["logits"][()].astype(np.float64)
    if last in SOFTMAX:
        y = softmax(y, last == "LogSoftmax")
    if y.shape != expected.shape:
        return f"the logits are {y.shape}, expected {expected.shape}"
    largest = max(float(np.abs(expected).max()), 1e-6)
    # Some tests hold what somebody worked out by hand to four digits.
    rounded = np.all(np.round(expected.astype(np.float64), 4).astype(np.float32) == expected)
    limit = max(1e-4, 1e-7 * largest) if rounded else 1e-5 * largest
    difference = float(np.abs(y - expected).max())
    return None if difference <= limit else f"the values differ by {difference:.2e}, the largest is {largest:.2e}"


def ways(model, inputs, outputs):
    """How a test is run: a reason instead, or a list of (label, model, image, expected, last op)."""
    node = model.graph.node[0]
    ops, last = {one.op_type for one in model.graph.node}, model.graph.node[-1].op_type
    reason = reason_against(model, inputs, outputs)
    if reason is None:
        found = []
        joins = len(model.graph.node) == 1 and node.op_type in JOINS and len(inputs) == 2
        twice = joins and inputs[0].shape == inputs[1].shape
        if node.op_type != "Concat":
            found.append(("", *as_classifier(model, inputs, outputs, False), last))
        if twice:
            found.append((" with two activations", *as_classifier(model, inputs, outputs, True), last))
        return None, found
    arrays = [*inputs, *outputs]
    if (ops <= set(FOLDED) and len(model.graph.output) == 1 and all(hasattr(a, "dtype") for a in arrays)
            and all(a.dtype in FOLDED_TYPES for a in arrays) and outputs[0].size > 0):
        return None, [(" as a constant", *as_constant(model, inputs, outputs), None)]
    return reason, []


def main():
    found = arguments(__doc__, lambda parser: parser.add_argument("--only", default="", help="part of the tests' names"))
    failed, left, refused = [], collections.defaultdict(list), []
    by_op = collections.defaultdict(lambda: [0, 0, 0, 0])
    runs = 0
    with tempfile.TemporaryDirectory(dir=found.work) as folder:
        for name, model, inputs, outputs in collect():
            if found.only not in name:
                continue
            counts = by_op[model.graph.node[0].op_type if len(model.graph.node) == 1 else "several"]
            counts[0] += 1
            reason, how = ways(model, inputs, outputs)
            if reason:
                left[reason].append(name)
                counts[3] += 1
                continue
            problems = []
            for label, made, image, expected, last in how:
                onnx.checker.check_model(made)
                for backend in ("ref", "cpu"):
                    runs += 1
                    problem = run(found, folder, backend, made, image, expected, last)
                    if problem:
                        problems.append(f"{name}{label} on {backend}: {problem}")
            if name in REFUSED:
                counts[2] += 1
                refused.append(f"{name}: {REFUSED[name]}")
                if len(problems) != 2 * len(how) or not all(": 65: " in problem for problem in problems):
                    failed.append(f"{name}: expected to be refused with exit code 65")
                continue
            counts[1] += not problems
            failed += problems
    print(f"{'op':20s} tests passed refused not applicable")
    for op in sorted(by_op):
        print(f"{op:20s} {by_op[op][0]:5d} {by_op[op][1]:6d} {by_op[op][2]:7d} {by_op[op][3]:14d}")
    print("not applicable, by reason:")
    for reason in sorted(left):
        print(f"  {reason}: {len(left[reason])}")
        for name in left[reason]:
            print(f"    {name}")
    print("refused:")
    for line in refused:
        print(f"  {line}")
    sums = [sum(row[k] for row in by_op.values()) for k in range(4)]
    totals = {"tests": sums[0], "passed": sums[1], "refused": sums[2], "not applicable": sums[3], "runs": runs}
    print(f"onnx {onnx.__version__}, {len(CLAIMED)} ops claimed: {sums[0]} tests, {sums[1]} passed, {sums[2]} refused, "
          f"{sums[3]} not applicable, {sums[0] - sum(sums[1:])} failed; {runs} runs")
    print("\n".join(failed))
    if not found.only and totals != EXPECTED.get(onnx.__version__, totals):
        failed.append("totals")
        print(f"the totals are {totals}, expected {EXPECTED[onnx.__version__]}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
