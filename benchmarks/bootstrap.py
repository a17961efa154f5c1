"""Seconds of 1,000 resamples of a 71-label table, ours against the loop over scikit-learn, and of
100,000 examples: `python benchmarks/bootstrap.py [--quick] [GOLDEN.npz]` (default:
golden/ptbxl_all71_xresnet1d101.npz beside BIOSIG_DATA; without it a simulated table of the same
shape).
"""

import argparse
import os
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


def table(given, quick):
    "Truth, probabilities, and where they come from."
    root = os.environ.get("BIOSIG_DATA")
    path = (
        Path(given)
        if given
        else Path(root).resolve().parent / "golden" / "ptbxl_all71_xresnet1d101.npz"
        if root
        else None
    )
    if not quick and path is not None and path.is_file():
        with np.load(path) as z:
            return z["y_test"].astype(float), z["p_test"].astype(float), path.name
    rng = np.random.default_rng(0)
    n = 300 if quick else 2203
    Y = (rng.random((n, 71)) < np.geomspace(0.002, 0.6, 71)).astype(float)
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


def main(argv=None):
    "The table, printed."
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("golden", nargs="?", default="", help="truth and probabilities, npz")
    a.add_argument("--quick", action="store_true", help="a small table, to see that it runs")
    given = a.parse_args(argv)
    draws, n_loop, many = (50, 2, 2000) if given.quick else (1000, N_LOOP, 100_000)
    Y, P, source = table(given.golden, given.quick)
    n, auroc = len(Y), get_metric("auroc")
    piece = FoldPredictions((0, 0, 0), Y, P, np.arange(n), np.ones(n))
    ours, (counts, found) = timed(
        lambda: (c := resample_counts(np.arange(n), draws), averaged([piece], auroc, c)), 3
    )
    theirs, expected = timed(lambda: loop(Y, P, counts[:n_loop]))
    theirs *= draws / n_loop
    same = (
        np.array_equal(np.isnan(found[:n_loop]), np.isnan(expected))
        and np.nanmax(np.abs(found[:n_loop] - expected)) < 1e-12
    )
    print(f"{source}: {Y.shape[0]} records, {Y.shape[1]} labels, {draws:,} resamples")
    print(
        f"  ours {ours:.2f} s; loop over scikit-learn {theirs:.0f} s (from {n_loop} resamples); "
        f"ratio {theirs / ours:.0f}; equal to 1e-12: {same}"
    )
    for missing in ("drop", "reject"):
        seconds, i = timed(
            lambda missing=missing: bootstrap_interval(Y, P, missing=missing, n_resamples=draws)
        )
        print(
            f"  macro AUROC {i.estimate:.10f}, 90 % {i.lo:.4f} to {i.hi:.4f} "
            f"({missing}; {i.rejected:.0%} of the resamples rejected; {seconds:.2f} s)"
        )
    rng, n = np.random.default_rng(0), many
    Y = (rng.random((n, 5)) < [0.5, 0.1, 0.05, 0.01, 0.002]).astype(float)
    P, groups = 1 / (1 + np.exp(1 - rng.normal(size=Y.shape) - Y)), np.arange(n) % 1000
    seconds, _ = timed(lambda: bootstrap_interval(Y, P, groups, n_resamples=draws))
    tracemalloc.start()
    bootstrap_interval(Y, P, groups, n_resamples=draws)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(
        f"{n:,} examples of 1,000 groups, 5 labels, {draws:,} resamples: {seconds:.1f} s, "
        f"peak memory {peak / 1e6:.0f} MB beyond the data"
    )


if __name__ == "__main__":
    main()
