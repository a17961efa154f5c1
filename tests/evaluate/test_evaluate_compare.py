"""Comparisons by formula and by resampling, against all pairs and on a public benchmark.

Verdicts as a reader sees them.
"""

import os
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from biosig_nb.errors import DataError
from biosig_nb.evaluate.clinical.decision_curve import decision_curve
from biosig_nb.evaluate.clinical.net_benefit import net_benefit
from biosig_nb.evaluate.inference.analytic_tests import (
    delong,
    delong_paired,
    obuchowski,
    obuchowski_paired,
)
from biosig_nb.evaluate.inference.bootstrap import metric_table
from biosig_nb.evaluate.inference.compare import compare_arms
from biosig_nb.evaluate.inference.corrected_t import RedoInterval
from biosig_nb.evaluate.inference.delong_table import delong_table
from biosig_nb.evaluate.inference.equivalence import equivalence
from biosig_nb.evaluate.inference.mcnemar import mcnemar
from biosig_nb.evaluate.inference.verdict import verdict
from biosig_nb.evaluate.predictions import make_predictions, simulate_predictions


def pairs(y, p):
    "Every positive against every negative: 1, one half, 0."
    x, z = p[y == 1][:, None], p[y == 0][None]
    return (x > z) + 0.5 * (x == z)


@pytest.mark.parametrize("seed", range(25))
def test_closed_forms_equal_all_pairs_with_ties(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(8, 80))
    y = np.r_[1, 1, 0, 0, rng.integers(0, 2, n - 4)].astype(float)
    P = np.round(rng.normal(0, 1, (2, n)) + rng.uniform(0, 2) * y, int(rng.integers(0, 2)))
    W = [pairs(y, p) for p in P]
    C = np.cov([w.mean(1) for w in W]) / (y == 1).sum()
    C = C + np.cov([w.mean(0) for w in W]) / (y == 0).sum()
    for k in (0, 1):
        assert delong(y, P[k]).variance == pytest.approx(C[k, k], abs=1e-12)
    d, var = delong_paired(y, *P), C[0, 0] + C[1, 1] - 2 * C[0, 1]
    assert d.difference == pytest.approx(W[0].mean() - W[1].mean(), abs=1e-12)
    assert d.se**2 == pytest.approx(var, abs=1e-12)
    assert obuchowski_paired(y, *P, groups=np.arange(n)).se == pytest.approx(d.se, abs=1e-12)


def test_groups_split_by_class_are_a_two_sample_problem():
    "Each group of one class: Obuchowski's variance is that of the group totals."
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(12), 5)
    y = (g % 2).astype(float)
    p = np.round(rng.normal(0, 1, 60) + rng.normal(0, 1, 12)[g] + y, 1)
    w = pairs(y, p)
    a = w.mean()

    def total(v, of):
        return np.array([np.sum(v[of == k] - a) for k in np.unique(of)])

    x, z = total(w.mean(1), g[y == 1]), total(w.mean(0), g[y == 0])
    expected = 6 / 5 * (x**2).sum() / 30**2 + 6 / 5 * (z**2).sum() / 30**2
    assert obuchowski(y, p, g).variance == pytest.approx(expected, abs=1e-12)


def test_clustered_data_are_refused_by_name():
    y, p, g = np.tile([0, 1], 10), np.linspace(0, 1, 20), np.repeat(np.arange(10), 2)
    message = "10 of 10 groups hold more than one example .* use compare_arms .* or obuchowski"
    with pytest.raises(DataError, match=message):
        delong(y, p, groups=g)
    with pytest.raises(DataError, match="compare_arms .* or obuchowski_paired"):
        delong_paired(y, p, p**2, groups=g)
    with pytest.raises(DataError, match="McNemar takes examples for independent"):
        mcnemar(y, p > 0.5, p > 0.4, groups=g)


def test_tables_of_formula_and_bootstrap_can_be_read_by_the_same_verdict():
    demo = simulate_predictions(
        {"scratch": 0.6, "full": 2.0}, n_groups=100, per_group=4, n_folds=1, group_sd=1.0
    )
    clustered = delong_table(demo, unit="beat", method="obuchowski")
    for table in (delong_table(demo), compare_arms(demo), clustered):
        assert verdict(table, 0.02).word == "benefit_these_networks"
        assert verdict(table, 0.02, redo=RedoInterval(0.2, lo=0.1, hi=0.3)).word == "benefit"


def test_sentences_of_a_verdict():
    row = dict(target="t", protocol="recommended", model="m", arm="full", baseline="scratch")
    row |= dict(metric="auroc", label="macro", unit="patient", conf=0.95, n_groups=120)
    row |= dict(difference=0.031, lo=0.012, hi=0.052, p=0.0008, p_adjusted=0.003)
    benefit = (
        "For these trained networks, full fine-tuning beats training from scratch by 0.031 AUROC "
        "(95 % CI 0.012 to 0.052, p = 0.003 after Holm over 4 arms; 120 patients)"
    )
    assert verdict(row, 0.02, n_arms=4).sentence.startswith(benefit)
    unclear = (
        "For these trained networks, no difference between full fine-tuning and training from "
        "scratch can be claimed"
    )
    found = verdict(row | dict(lo=-0.01, p_adjusted=0.2), 0.02)
    assert found.sentence.startswith(unclear)


def test_a_verdict_of_equivalence_passes_the_two_one_sided_tests():
    equivalent = 0
    for seed in range(4):
        twins = simulate_predictions(
            {"scratch": 1.6, "full": 1.6}, n_groups=80, n_folds=1, group_sd=0.3, seed=seed
        )
        compared = compare_arms(twins, unit="beat")
        close = RedoInterval(0.0, lo=-0.009, hi=0.009)
        for gain in (0.01, 0.02, 0.03, 0.05):
            if verdict(compared, gain, redo=close).word == "equivalent":
                equivalent, e = equivalent + 1, equivalence(twins, gain, unit="beat").iloc[0]
                assert e.equivalent
                assert e.p < 0.0251
                assert -gain < e.lo <= e.hi < gain
    assert equivalent >= 4


@pytest.fixture(scope="module")
def golden():
    root = os.environ.get("BIOSIG_DATA")
    path = Path(root).resolve().parent / "golden" / "ptbxl_all71_xresnet1d101.npz" if root else None
    if path is None or not path.is_file():
        pytest.skip("no golden/ptbxl_all71_xresnet1d101.npz beside BIOSIG_DATA")
    with np.load(path) as z:
        Y, P = z["y_test"].astype(float), z["p_test"].astype(float)
    j = int(np.argsort(np.abs(Y.sum(0) - 200))[0])  # a label with about 200 positives
    return Y[:, j], P[:, j]


@pytest.mark.realdata
def test_delong_agrees_with_all_pairs_and_with_the_bootstrap_on_real_probabilities(golden):
    y, p = golden
    w, found = pairs(y, p), delong(y, p)
    expected = w.mean(1).var(ddof=1) / w.shape[0] + w.mean(0).var(ddof=1) / w.shape[1]
    assert found.variance == pytest.approx(expected, abs=1e-12)
    ids = [f"record{i:05d}" for i in range(len(y))]
    table = make_predictions(
        study="golden",
        target="ptbxl",
        protocol="published",
        model="net",
        arm="scratch",
        example=ids,
        group=ids,
        Y=y,
        P=p,
        labels="l",
    )
    t = metric_table(table, metrics=("auroc",), unit="record").iloc[0]
    assert t.estimate == pytest.approx(found.auroc, abs=1e-12)
    assert np.allclose([t.lo, t.hi], [found.lo, found.hi], atol=0.25 * (found.hi - found.lo))


@pytest.mark.realdata
def test_net_benefit_equals_the_confusion_matrix_on_real_probabilities(golden):
    y, p = golden
    thresholds = [0.02, 0.05, 0.1, 0.2, 0.5, 0.8]

    def by_matrix(t):
        (_, fp), (_, tp) = confusion_matrix(y, p >= t, labels=[0, 1])
        return tp / len(y) - fp / len(y) * t / (1 - t)

    expected = [by_matrix(t) for t in thresholds]
    assert net_benefit(y, p, thresholds) == pytest.approx(expected, abs=1e-12)
    ids = [f"record{i:05d}" for i in range(len(y))]
    table = make_predictions(
        study="golden",
        target="ptbxl",
        protocol="published",
        model="net",
        arm="full",
        example=ids,
        group=ids,
        Y=y,
        P=p,
        labels="l",
    )
    curve = decision_curve(table, thresholds=thresholds, unit="record", n_resamples=500)
    assert curve.net_benefit.to_list() == pytest.approx(expected, abs=1e-12)
    assert curve.net_benefit.between(curve.lo, curve.hi).all()
    more = (curve.net_benefit - curve.treat_all).to_list()
    assert curve.over_all.to_list() == pytest.approx(more, abs=1e-12)
