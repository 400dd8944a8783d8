#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tools/bench-deepfool and tools/bench-train with a made-up dfal and made-up peers: who runs when, and the ratios.

    tests/bench_turns.py ROOT

Both programs write a line into a log for each turn and answer with seconds that are known, so that every figure of the tables
can be reckoned by hand."""
import os
import stat
import subprocess
import sys
import tempfile

# 100 rows of 2 iterations in 1 s, the next turn 2 s; the first four rows have 3 iterations. A training of 2 steps takes 1 s.
DFAL = """#!{python}
import json, sys
words = sys.argv[1:]
value = lambda name: int(words[words.index(name) + 1])
with open("{log}", "a") as log:
    turn = 1 + open("{log}").read().count("dfal")
    print("dfal", file=log)
if "train" in words:
    n = value("--restarts")
    print(json.dumps([dict(samples=10 * n, steps=2 * n, seconds=1, cpu_seconds=n, engine="fused", isa="avx2")]))
else:
    n = value("--samples")
    print(json.dumps([dict(samples=n, seconds=turn, cpu_seconds=turn / 2, mean_iterations=2 if n == 100 else 3, engine="fused", isa="avx2")]))
"""
# expert takes 0.1 s a row and 0.2 CPU seconds, in 4 iterations; foolbox is not installed; steps of training take 5 s each.
PYTHON = """#!{python}
import json, sys
for line in sys.stdin:
    words = json.loads(line)
    value = lambda name: words[words.index(name) + 1]
    loop = value("--loop")
    print(loop, value("--samples"), *words[4:], file=open("{log}", "a"))
    if loop == "foolbox" or "compile" in words:
        print(json.dumps(dict(error="ModuleNotFoundError: none")), flush=True)
        continue
    n = int(value("--samples"))
    found = dict(steps=2, seconds=10, cpu_seconds=20) if loop == "train" else dict(
        samples=n, seconds=n * 0.1, cpu_seconds=n * 0.2, mean_iterations=4)
    print(json.dumps(dict(found, torch="2")), flush=True)
"""


def program(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="ascii") as file:
        file.write(text.replace("{python}", sys.executable).replace("{log}", os.path.join(folder, "log")))
    os.chmod(path, stat.S_IRWXU)
    return path


def run(root, tool, *words):
    """Lines of the table as cells, what was said on stderr, and the turns that were logged."""
    with tempfile.TemporaryDirectory() as folder:
        line = [sys.executable, os.path.join(root, "tools", tool), "net.h5", "pool.h5", "--dfal", program(folder, "dfal", DFAL),
                "--python", program(folder, "python", PYTHON), "--repeat", "2", *words]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done
        with open(os.path.join(folder, "log"), encoding="ascii") as file:
            return [[cell for cell in row.split("  ") if cell.strip()] for row in done.stdout.splitlines()], done.stderr, file.read().splitlines()


def same(found, expected):
    assert found == expected, f"{found}\nexpected {expected}"


def stripped(rows):
    return [[cell.strip() for cell in row] for row in rows]


def main():
    root = sys.argv[1]
    rows, said, log = run(root, "bench-deepfool", "--samples", "100", "--seconds", "0.4", "--peers", "expert,foolbox")
    # Four rows take as long as a turn is to take. Then the turns, and dfal once more on the peer's rows.
    same(log, ["expert 4", "foolbox 4", "dfal", "expert 4", "dfal", "expert 4", "dfal"])
    same(said, "bench-deepfool: foolbox is left out: ModuleNotFoundError: none\n")
    # dfal: 1 s and 0.5 CPU s for 200 iterations, so 3 iterations a row are 0.015 s and 0.0075; the peer takes 0.1 and 0.2.
    same(stripped(rows[1:]), [["dfal", "100", "2.000", "100", "200", "200", "400"],
                              ["expert", "4", "4.000", "10", "40", "5", "20", "6.7", "5.0", "26.7", "20.0"],
                              ["threads 1, 2 turns each, engine fused, avx2, torch 2"]])
    rows, said, log = run(root, "bench-train", "--rows", "10", "--batch", "5", "--threads", "2")
    turn = ["dfal", "dfal", *(f"train 10 --steps 2 --step-rows 5 --restarts 1{more}" for more in ("", " --fused"))]
    same(log, [*turn, "train 10 --steps 2 --step-rows 5 --restarts 1 --mode compile --fused", *turn])
    same(said, "bench-train: compiled, fused Adam is left out: ModuleNotFoundError: none\n")
    peer = ["2", "1", "0.5", "10.0", "20.0", "20.0", "20.0"]
    same(stripped(rows[1:]), [["dfal, 1 restart", "2", "10", "10"], ["dfal, 2 restarts", "4", "20", "10"], ["eager", *peer],
                              ["eager, fused Adam", *peer], ["threads 2, batch 5, 2 turns each, engine fused, avx2, torch 2"]])
    print("ok")


if __name__ == "__main__":
    main()
