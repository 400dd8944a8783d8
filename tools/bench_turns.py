# SPDX-License-Identifier: Apache-2.0
"""What tools/bench-deepfool and tools/bench-train share: dfal and its peers take turns on the same rows, and a table of ratios.

The machine may be busy with other work. So each takes as many turns, the fastest counts, and CPU seconds, of all threads, stand
beside those of the clock: what others take of a core is not in them. What a thread of PyTorch spends waiting for another is."""
import argparse
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def options(doc):
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network")
    parser.add_argument("pool")
    parser.add_argument("--dfal", default=os.path.join(HERE, "..", "build", "release", "tools", "dfal"))
    parser.add_argument("--python", default=sys.executable, help="a Python with torch, numpy and h5py")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=3, help="turns (default 3)")
    return parser


class Peers:
    """One process of bench_expert.py for all turns; it waits while others run."""

    def __init__(self, found):
        self.process = subprocess.Popen(
            [found.python, os.path.join(HERE, "bench_expert.py"), found.network, found.pool, "--threads", str(found.threads), "--repeat", "1",
             "--cases", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *words):
        """What one case found; {"error": ...} where it cannot run."""
        self.process.stdin.write(json.dumps([str(word) for word in words]) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"bench_expert.py ended with {self.process.wait()} in the case {' '.join(map(str, words))}")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def dfal(found, kind, *words):
    """The one repetition of dfal bench KIND."""
    line = [found.dfal, "-q", "--json", "--threads", str(found.threads), "bench", kind, found.network, found.pool, "--repeat", "1", *map(str, words)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(line)}: exit code {done.returncode}: {done.stderr.strip()}")
    return json.loads(done.stdout)[0]


def best(turns):
    """The least seconds and the least CPU seconds of turns that did the same work."""
    return {**turns[0], **{key: min(turn[key] for turn in turns) for key in ("seconds", "cpu_seconds")}}


def table(head, rows):
    """Columns as wide as their widest cell, the first to the left."""
    widths = [max(len(line[k]) for line in [head, *rows]) for k in range(len(head))]
    for line in [head, *rows]:
        print("  ".join(cell.ljust(width) if k == 0 else cell.rjust(width) for k, (cell, width) in enumerate(zip(line, widths))))


def rate(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
