#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What cudnn_probe --list says of VGG8: each layer's preferred engine is listed as strict and would be timed.

    tests/probe/list.py CUDNN_PROBE
"""
import re
import subprocess
import sys

HEAD = re.compile(r"vgg8 (\d+) to (\d+), (\d+)x\d+, 1024 rows, (.+): [0-9.]+ GFLOP")
LAYERS = [("64", "128", "14"), ("128", "256", "7"), ("256", "256", "7"),
          ("256", "512", "3"), ("512", "512", "3")]
FORWARD, GRADIENT, TURNED = "forward", "input gradient", "input gradient as a forward"


def ways_of(text):
    """(c, o, h, way) -> its lines."""
    ways, lines = {}, []
    for line in text.splitlines():
        head = HEAD.fullmatch(line)
        if head:
            lines = ways[head.groups()] = []
        elif line.startswith("    "):
            lines.append(line.strip())
        else:
            lines = []
    return ways


def check(ways, layer, way):
    preferred = [line for line in ways[layer + (way,)] if line.startswith("preferred: ")]
    assert len(preferred) == 1, f"{layer} {way}: {preferred}"
    plan, turned, _ = preferred[0].removeprefix("preferred: ").partition(", as a forward")
    lines = ways[layer + (TURNED if turned else way,)]
    engine = plan.split(",")[0]
    assert any(re.match(engine + r" strict\b", line) for line in lines), \
        f"{layer} {way}: {engine} is not strict"
    assert plan in lines, f"{layer} {way}: {plan} would not be timed"
    others = [line.split(",")[0] for line in lines if re.match(r"engine \d+(, knobs \d+:|$)", line)]
    assert others, f"{layer} {way}: every engine is strict"
    timed = {line.split(",")[0] for line in lines if re.match(r"engine .* bytes$", line)}
    assert not timed & set(others), f"{layer} {way}: {timed & set(others)} not strict, but would be timed"


def main():
    run = subprocess.run([sys.argv[1], "--list"], stdout=subprocess.PIPE, text=True, check=True)
    ways = ways_of(run.stdout)
    for layer in LAYERS:
        for way in (FORWARD, GRADIENT):
            check(ways, layer, way)
    print(f"{len(LAYERS)} layers, {len(ways)} ways")


if __name__ == "__main__":
    main()
