# SPDX-License-Identifier: Apache-2.0
"""Holds the scores and the ranks of strategies against NumPy in float64.

Usage: strategies.py DFAL BACKEND[,BACKEND...] [passes]

passes: only strategies that ask a back end for more than one forward, gradients and passes with dropout. The others choose by
what stands above the back ends, so that one of these is enough.

Each family of strategies is a module strategies_*.py beside this one, with its checks. Where a strategy asks
for more than logits, pool and network are of small whole numbers, so that logits are exact, and random
numbers come from a Philox of its own. Exit code 77: NumPy, SciPy or h5py is missing."""
import os
import shutil
import sys

try:
    import h5py  # noqa: F401
    import numpy  # noqa: F401
    import scipy.special  # noqa: F401
except ImportError:
    print("NumPy, SciPy or h5py is missing: skipped")
    sys.exit(77)

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cli"))
from strategies_case import Case  # noqa: E402
from strategies_certain import balanced, ceal  # noqa: E402
from strategies_clusters import cluster_margin, typiclust  # noqa: E402
from strategies_distances import coreset, coreset_greedy, nearest_other  # noqa: E402
from strategies_diverse import dfal_diverse  # noqa: E402
from strategies_gradients import badge, egl, egl_last  # noqa: E402
from strategies_passes import bald, batchbald, qbdc, qbdc_votes  # noqa: E402
from strategies_power import power  # noqa: E402
from strategies_softmax import of_classes  # noqa: E402

PASSES = (of_classes(10, 300), egl_last, egl, bald, batchbald, qbdc, qbdc_votes)
OTHERS = (of_classes(2, 400), of_classes(3, 300), of_classes(1000, 120), coreset_greedy, coreset, nearest_other,
          badge, dfal_diverse, power, typiclust, cluster_margin, ceal, balanced)


def main():
    backends = sys.argv[2].split(",")
    checks = PASSES if sys.argv[3:] == ["passes"] else PASSES + OTHERS
    for check in checks:
        for backend in backends:
            dfal = Case(sys.argv[1], backend)
            try:
                check(dfal)
            finally:
                shutil.rmtree(dfal.folder, ignore_errors=True)
    print(f"{len(checks)} checks of strategies agree with NumPy on {', '.join(backends)}")


main()
