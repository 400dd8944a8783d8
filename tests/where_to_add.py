#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Usage: where_to_add.py SOURCE

An activation is a row of kernels/activations.def and two functions in kernels/activations.h, as docs/ARCHITECTURE.md says: no
other product file knows one by name, but those listed here with what they know."""
import pathlib
import re
import sys

HOME = {"kernels/activations.def", "kernels/activations.h"}
ROW = re.compile(r'^DF_ACTIVATION\((\w+), (\w+), "(\w+)",', re.MULTILINE)
# What is special about one, file by file.
KNOWN = {
    "relu": {
        "host/graph/fold.c": "a Clip from 0 up becomes one; it moves behind a max-pool",
        "host/graph/onnx_pointwise.c": "a Clip from 0 up is one",
        "host/net/fused.c": "fused networks have no other",
        "host/score/bound.c": "a network with a lower bound has no other",
        "host/backend/timed.c": "its time is reported by itself",
        "models/lenet5.c": "built-in networks",
        "models/vgg8.c": "built-in networks",
    },
    "leaky_relu": {"host/net/node_rules.c": "a slope below 0 turns the output's sign around"},
    "clip": {
        "host/graph/fold.c": "one that clips nothing is dropped",
        "host/graph/onnx_pointwise.c": "ONNX gives its ends as inputs",
    },
    "sigmoid": {"host/graph/onnx.c": "at the output it makes probabilities, which are refused"},
    "hard_sigmoid": {"host/graph/onnx.c": "likewise"},
    "gelu": {"host/graph/onnx_pointwise.c": "ONNX has two under one name"},
    "gelu_tanh": {"host/graph/onnx_pointwise.c": "ONNX has two under one name"},
}


def sources(root):
    for folder in "kernels", "host", "models", "tools":
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in {".c", ".h", ".cu", ".def"}:
                # Words of comments do not count.
                yield path.relative_to(root).as_posix(), re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)


def main():
    root = pathlib.Path(sys.argv[1])
    rows = ROW.findall((root / "kernels/activations.def").read_text())
    texts = dict(sources(root))
    wrong = [] if len(rows) >= 12 else [f"{len(rows)} rows of activations.def were understood, expected at least 12"]
    for stem, node, name in rows:
        words = re.compile(rf'\b(df_{stem}_(value|gradient)|(DF_OP_)?{stem}_(fwd|bwd)|DF_NODE_{node})\b|"{name}"')
        found = {path for path, text in texts.items() if words.search(text)}
        missing = [function for function in (f"df_{stem}_value", f"df_{stem}_gradient")
                   if f"DF_FN df_real {function}(" not in texts["kernels/activations.h"]]
        expected = HOME | set(KNOWN.get(stem, {}))
        wrong += [f"kernels/activations.h lacks the function {function}" for function in missing]
        wrong += [f"{path} knows the activation '{stem}': an activation is two functions and a row, see docs/ARCHITECTURE.md"
                  for path in sorted(found - expected)]
        wrong += [f"{path} no longer knows the activation '{stem}': take it off the list in {sys.argv[0]}"
                  for path in sorted(expected - found - HOME)]
    print("\n".join(wrong) or f"where_to_add: {len(rows)} activations, 0 strays")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
