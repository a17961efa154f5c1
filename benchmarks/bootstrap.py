"""Seconds of 1,000 resamples of a 71-label table, ours against the loop over scikit-learn, and of
100,000 examples: `python benchmarks/bootstrap.py [GOLDEN.npz]` (default:
golden/ptbxl_all71_xresnet1d101.npz beside BIOSIG_DATA; without it a simulated table of the same
shape).
"""

import os
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from biosig_nb.evaluate.inference.bootstrap_interval import bootstrap_interval
from biosig_nb.evaluate.inference.fold_scores import FoldPredictions, averaged
from biosig_nb.evaluate.inference.resampling import resample_counts
from biosig_nb.evaluate.metric_registry import get_metric

N_LOOP = 30  # resamples on which the loop is timed and compared


def table():
    "Truth, probabilities, and where they come from."
    root = os.environ.get("BIOSIG_DATA")
    path = (
        Path(sys.argv[1])
        if len(sys.argv) > 1
        else Path(root).resolve().parent / "golden" / "ptbxl_all71_xresnet1d101.npz"
        if root
        else None
    )
    if path is not None and path.is_file():
        with np.load(path) as z:
            return z["y_test"].astype(float), z["p_test"].astype(float), path.name
    rng = np.random.default_rng(0)
    Y = (rng.random((2203, 71)) < np.geomspace(0.002, 0.6, 71)).astype(float)
    Y[0], Y[1] = 1, 0
    return (
        Y,
        1 / (1 + np.exp(3 - rng.normal(size=Y.shape) - 2 * Y)),
        "golden table absent: a SIMULATED one of the same shape",
    )


def loop(Y, P, counts):
    "AUROC of each label in each resample by scikit-learn; NaN where a class is missing."
    out = np.full((len(counts), Y.shape[1]), np.nan)
    for b, c in enumerate(counts):
        rows = np.repeat(np.arange(len(Y)), c)
        y, p = Y[rows], P[rows]
        for j in np.flatnonzero((y.min(0) == 0) & (y.max(0) == 1)):
            out[b, j] = roc_auc_score(y[:, j], p[:, j])
    return out


def timed(f, repeats=1):
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        out = f()
        best = min(best, time.perf_counter() - start)
    return best, out


if __name__ == "__main__":
    Y, P, source = table()
    n, auroc = len(Y), get_metric("auroc")
    piece = FoldPredictions((0, 0, 0), Y, P, np.arange(n), np.ones(n))
    ours, (counts, found) = timed(
        lambda: (c := resample_counts(np.arange(n), 1000), averaged([piece], auroc, c)), 3
    )
    theirs, expected = timed(lambda: loop(Y, P, counts[:N_LOOP]))
    theirs *= 1000 / N_LOOP
    same = (
        np.array_equal(np.isnan(found[:N_LOOP]), np.isnan(expected))
        and np.nanmax(np.abs(found[:N_LOOP] - expected)) < 1e-12
    )
    print(f"{source}: {Y.shape[0]} records, {Y.shape[1]} labels, 1,000 resamples")
    print(
        f"  ours {ours:.2f} s; loop over scikit-learn {theirs:.0f} s (from {N_LOOP} resamples); "
        f"ratio {theirs / ours:.0f}; equal to 1e-12: {same}"
    )
    for missing in ("drop", "reject"):
        seconds, i = timed(lambda missing=missing: bootstrap_interval(Y, P, missing=missing))
        print(
            f"  macro AUROC {i.estimate:.10f}, 90 % {i.lo:.4f} to {i.hi:.4f} "
            f"({missing}; {i.rejected:.0%} of the resamples rejected; {seconds:.2f} s)"
        )
    rng, n = np.random.default_rng(0), 100_000
    Y = (rng.random((n, 5)) < [0.5, 0.1, 0.05, 0.01, 0.002]).astype(float)
    P, groups = 1 / (1 + np.exp(1 - rng.normal(size=Y.shape) - Y)), np.arange(n) % 1000
    seconds, _ = timed(lambda: bootstrap_interval(Y, P, groups))
    tracemalloc.start()
    bootstrap_interval(Y, P, groups)
    peak = tracemalloc.get_traced_memory()[1]
    print(
        f"100,000 examples of 1,000 groups, 5 labels, 1,000 resamples: {seconds:.1f} s, "
        f"peak memory {peak / 1e6:.0f} MB beyond the data"
    )
