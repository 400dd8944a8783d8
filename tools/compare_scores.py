#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Hold one scores file against another of the same rows: the precision table of docs/NUMERICS.md.

usage: compare_scores.py SCORES.h5 REFERENCE.h5 [--check]

Rows are matched by /index; the reference may hold fewer. --check exits 65 unless Spearman >= 0.9999999,
top-q overlap >= 0.99 (q = 10, 100, 1 %) and the 99th percentile of the relative error < 1e-4; for scores of precision fast
0.99999, 0.99 and 2e-3.
"""
import sys

import h5py
import numpy as np
from scipy.stats import spearmanr


def read(path):
    with h5py.File(path, "r") as f:
        return {k: f[k][:] for k in ("index", "margin", "status", "label", "adversarial_class", "iterations")}


def limits(path):
    """Of Spearman and of the 99th percentile."""
    with h5py.File(path, "r") as f:
        return (0.99999, 2e-3) if f.attrs["precision"] in ("fast", b"fast") else (0.9999999, 1e-4)


def top(index, margin, status, q):
    order = np.lexsort((index, margin, np.where(status <= 1, 0, status)))
    return set(index[order[:q]].tolist())


def main():
    files = [a for a in sys.argv[1:] if not a.startswith("--")]
    if len(files) != 2:
        sys.exit(__doc__)
    a, b = read(files[0]), read(files[1])
    common, ia, ib = np.intersect1d(a["index"], b["index"], return_indices=True)
    a, b = ({k: v[i] for k, v in s.items()} for s, i in ((a, ia), (b, ib)))
    good = np.isfinite(a["margin"]) & np.isfinite(b["margin"])
    rho = spearmanr(a["margin"][good], b["margin"][good]).statistic
    error = np.abs(a["margin"][good].astype(float) - b["margin"][good]) / np.maximum(b["margin"][good], 1e-30)
    print(f"rows {len(common)}, finite in both {good.sum()}, status differs {np.sum(a['status'] != b['status'])}, "
          f"label differs {np.sum(a['label'] != b['label'])}, "
          f"adversarial class differs {np.sum(a['adversarial_class'] != b['adversarial_class'])}, "
          f"iterations differ {np.sum(a['iterations'] != b['iterations'])}")
    print(f"Spearman {rho:.10f}")
    overlaps = []
    for q in sorted({10, 100, max(1, len(common) // 100)}):
        both = top(a["index"], a["margin"], a["status"], q) & top(b["index"], b["margin"], b["status"], q)
        overlaps.append(len(both) / q)
        print(f"top-{q} overlap {overlaps[-1]:.4f}")
    p50, p99, worst = np.percentile(error, [50, 99, 100])
    print(f"relative error: median {p50:.2e}, p99 {p99:.2e}, largest {worst:.2e}")
    least, most = limits(files[0])
    if "--check" in sys.argv and (rho < least or min(overlaps) < 0.99 or p99 >= most):
        sys.exit(65)


if __name__ == "__main__":
    main()
