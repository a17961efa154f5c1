"""Weighted metrics equal scikit-learn on physically resampled data and stay within memory."""

import tracemalloc
from contextlib import ExitStack
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from biosig_nb.evaluate.inference.bootstrap import metric_table
from biosig_nb.evaluate.kernels import ranking_kernels, sorted_sums
from biosig_nb.evaluate.kernels import weights as weights_module
from biosig_nb.evaluate.kernels.ranking_kernels import auprc_rows, auroc_rows
from biosig_nb.evaluate.kernels.sorted_sums import few_groups
from biosig_nb.evaluate.kernels.threshold_metrics import decide
from biosig_nb.evaluate.kernels.weights import Weights, example_weights, slices
from biosig_nb.evaluate.metric_registry import METRICS, challenge_f1, sensitivity_at, specificity_at
from biosig_nb.evaluate.metrics import (
    accuracy,
    auprc,
    auroc,
    balanced_accuracy,
    brier,
    cross_entropy,
    f1,
    log_loss,
    macro_auroc,
    macro_f1,
    metric_value,
    ppv,
    sensitivity,
    specificity,
)
from biosig_nb.evaluate.predictions import simulate_predictions

quiet = settings(max_examples=80, deadline=None, database=None, derandomize=True)


@st.composite
def scored(draw):
    """Truth, scores (with many ties), groups and whole-number counts of the groups.

    At least one resample holds both classes.
    """
    n, g = draw(st.integers(2, 40)), draw(st.integers(1, 6))
    y = np.array(draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)), float)
    levels = draw(st.integers(1, 12))
    p = np.array(draw(st.lists(st.integers(0, levels), min_size=n, max_size=n))) / levels
    codes = np.array(draw(st.lists(st.integers(0, g - 1), min_size=n, max_size=n)))
    counts = np.array(
        draw(st.lists(st.lists(st.integers(0, 3), min_size=g, max_size=g), min_size=5, max_size=5)),
        float,
    )
    return y, p, codes, counts


def repeated(w, *arrays):
    rows = np.repeat(np.arange(len(w)), w.astype(int))
    return [a[rows] for a in arrays]


def method(few, room=1_000_000):
    "One of the two methods, with that many numbers in a slice."
    slices, stack = weights_module.slices, ExitStack()
    stack.enter_context(patch.object(ranking_kernels, "few_groups", lambda w, n: few))
    for module in (weights_module, sorted_sums, ranking_kernels):
        small = patch.object(module, "slices", lambda n, width, r=0: slices(n, width, room))
        stack.enter_context(small)
    return stack


@quiet
@given(scored(), st.booleans(), st.sampled_from([3, 1_000_000]))
def test_ranking_equals_sklearn(data, few, room):
    y, p, codes, counts = data
    weights = Weights(counts, codes, np.ones(len(y)))
    with method(few, room):
        found = auroc_rows(y, p, weights), auprc_rows(y, p, weights)
    for b, w in enumerate(weights.of(slice(None))):
        yy, pp = repeated(w, y, p)
        if len(set(yy)) < 2:
            assert np.isnan(found[0][b])
            assert np.isnan(found[1][b])
        else:
            assert abs(found[0][b] - sk.roc_auc_score(yy, pp)) < 1e-12
            assert abs(found[1][b] - sk.average_precision_score(yy, pp)) < 1e-12


@quiet
@given(scored())
def test_decisions_equal_sklearn(data):
    y, p, codes, counts = data
    w = counts[:, codes]
    found = {
        f.__name__: f(y, p, w)
        for f in (f1, sensitivity, specificity, ppv, accuracy, balanced_accuracy, macro_f1)
    }
    for b in range(len(w)):
        yy, dd = repeated(w[b], y, (p >= 0.5).astype(float))
        if len(set(yy)) < 2:
            continue
        expected = dict(
            f1=sk.f1_score(yy, dd, zero_division=0),
            sensitivity=sk.recall_score(yy, dd),
            specificity=sk.recall_score(1 - yy, 1 - dd),
            ppv=sk.precision_score(yy, dd, zero_division=0),
            accuracy=sk.accuracy_score(yy, dd),
            balanced_accuracy=sk.balanced_accuracy_score(yy, dd),
            macro_f1=sk.f1_score(yy, dd, average="macro"),
        )
        for name, value in expected.items():
            assert abs(found[name][b] - value) < 1e-12, name


@quiet
@given(st.integers(0, 10_000), st.integers(2, 5))
def test_classes_equal_sklearn(seed, k):
    rng = np.random.default_rng(seed)
    n = 60
    c = rng.integers(0, k, n)
    P = np.round(rng.dirichlet(np.ones(k), n), 1) + 0.05
    P /= P.sum(1, keepdims=True)
    Y, W = np.eye(k)[c], rng.integers(0, 4, (6, n))
    acc, macro, bal = accuracy(Y, P, W), macro_f1(Y, P, W), balanced_accuracy(Y, P, W)
    for b in range(len(W)):
        cc, dd = repeated(W[b], c, P.argmax(1))
        assert abs(acc[b] - sk.accuracy_score(cc, dd)) < 1e-12
        assert abs(macro[b] - sk.f1_score(cc, dd, average="macro")) < 1e-12
        seen = sk.recall_score(cc, dd, average=None, labels=np.unique(cc))
        assert abs(bal[b] - seen.mean()) < 1e-12


@quiet
@given(scored())
def test_real_weights_equal_sklearn(data):
    y, p, codes, counts = data
    w = np.abs(np.sin(np.arange(len(y)) + counts.sum())) + 0.01
    if len(set(y)) < 2:
        return
    assert abs(auroc(y, p, w) - sk.roc_auc_score(y, p, sample_weight=w)) < 1e-12
    assert abs(auprc(y, p, w) - sk.average_precision_score(y, p, sample_weight=w)) < 1e-12


@quiet
@given(scored(), st.sampled_from([0.2, 0.5, 0.75, 0.9, 1.0]), st.booleans())
def test_rates_at_a_fixed_rate_equal_sklearn(data, fixed, few):
    y, p, codes, counts = data
    weights = Weights(counts, codes, np.ones(len(y)))
    with method(few):
        found = [
            m.rows(y[:, None], p[:, None], None, weights)[:, 0]
            for m in (sensitivity_at(fixed), specificity_at(fixed))
        ]
    for b, w in enumerate(weights.of(slice(None))):
        yy, pp = repeated(w, y, p)
        if len(set(yy)) < 2:
            assert np.isnan([f[b] for f in found]).all()
            continue
        fpr, tpr, _ = sk.roc_curve(yy, pp, drop_intermediate=False)
        assert abs(found[0][b] - tpr[1 - fpr >= fixed - 1e-12].max()) < 1e-12
        assert abs(found[1][b] - (1 - fpr)[tpr >= fixed - 1e-12].max()) < 1e-12


@quiet
@given(scored())
def test_probability_scores_equal_sklearn(data):
    y, p, codes, counts = data
    w = np.abs(np.sin(np.arange(len(y)) + counts.sum())) + 0.01
    assert abs(brier(y, p, w) - np.average((p - y) ** 2, weights=w)) < 1e-12
    if len(set(y)) < 2:
        return
    assert abs(brier(y, p, w) - sk.brier_score_loss(y, p, sample_weight=w)) < 1e-12
    # p of 0 and 1 among them
    assert abs(log_loss(y, p, w) - sk.log_loss(y, p, sample_weight=w)) < 1e-12


@quiet
@given(st.integers(0, 10_000))
def test_four_classes_equal_sklearn(seed):
    rng = np.random.default_rng(seed)
    c, w = rng.permutation(np.arange(60) % 4), rng.integers(0, 4, 60) + 0.5
    P = rng.dirichlet(np.ones(4) / 3, 60).round(1)
    P[:, 3] = np.maximum(0, 1 - P[:, :3].sum(axis=1))
    P /= P.sum(axis=1, keepdims=True)
    Y = np.eye(4)[c]
    assert abs(cross_entropy(Y, P, w) - sk.log_loss(c, P, sample_weight=w)) < 1e-12
    expected = sk.f1_score(c, P.argmax(1), labels=[0, 1, 2], average="macro", sample_weight=w)
    assert abs(metric_value(challenge_f1(("N", "A", "O", "~")), Y, P, w) - expected) < 1e-12


def test_slices_are_carried_over_in_large_data():
    """More thresholds than fit into one slice: the running totals must be handed on."""
    rng = np.random.default_rng(0)
    n, g = 60_000, 300
    y = (rng.random(n) < 0.6).astype(float)
    p = rng.random(n).astype(np.float32).astype(float)
    codes = rng.integers(0, g, n)
    counts = rng.integers(0, 3, (1300, g)).astype(float)
    weights = Weights(counts, codes, np.ones(n))
    assert few_groups(weights, n)
    assert len(slices(int(y.sum()), g)) > 1
    a, b = auroc_rows(y, p, weights), auprc_rows(y, p, weights)
    for i in (0, 700, 1299):
        w = counts[i, codes]
        assert abs(a[i] - sk.roc_auc_score(y, p, sample_weight=w)) < 1e-12
        assert abs(b[i] - sk.average_precision_score(y, p, sample_weight=w)) < 1e-12


@pytest.mark.parametrize("n_groups, n_resamples", [(22, 2000), (2000, 300), (100_000, 30)])
def test_memory_is_bounded(n_groups, n_resamples):
    rng = np.random.default_rng(1)
    n = 100_000
    y, p = (rng.random(n) < 0.1).astype(float), rng.random(n)
    counts = rng.integers(0, 3, (n_resamples, n_groups)).astype(float)
    weights = Weights(counts, np.arange(n) % n_groups, np.ones(n))
    tracemalloc.start()
    try:
        auroc_rows(y, p, weights)
        auprc_rows(y, p, weights)
        assert tracemalloc.get_traced_memory()[1] < 150e6
    finally:
        tracemalloc.stop()


def test_every_metric_goes_into_the_table():
    classes = dict(labels=("N", "S", "V"), shares=(0.8, 0.1, 0.1), n_folds=1)
    beats = simulate_predictions({"full": 1.5}, **classes, n_groups=22, per_group=50)
    table = metric_table(beats, metrics=tuple(METRICS), n_resamples=50)
    assert set(table.metric) == set(METRICS)


def test_macro_auroc_leaves_out_what_cannot_be_ranked():
    Y = np.array([[1, 0, 1], [0, 0, 1], [1, 0, 1], [0, 0, 1]])
    P = np.array([[0.9, 0.1, 0.2], [0.8, 0.3, 0.2], [0.7, 0.2, 0.2], [0.1, 0.4, 0.2]])
    assert macro_auroc(Y, P) == auroc(Y[:, 0], P[:, 0]) == 0.75
    assert np.isnan(macro_auroc(Y[:, 1:], P[:, 1:]))
    assert example_weights(4).counts.shape == (1, 1)
    assert decide(P, True).sum() == 4
