"""What survives doing the study again: intervals, words, and where resampling cannot vary."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, ttest_1samp

from biosig_nb.evaluate.inference.bootstrap import metric_table
from biosig_nb.evaluate.inference.class_coverage import (
    STATISTICS,
    class_coverage_note,
    class_coverage_table,
)
from biosig_nb.evaluate.inference.compare import compare_arms
from biosig_nb.evaluate.inference.corrected_t import RedoInterval, corrected_t
from biosig_nb.evaluate.inference.power import what_can_be_said
from biosig_nb.evaluate.inference.redo import redo_interval
from biosig_nb.evaluate.inference.redone_studies import World, honesty, redone_studies
from biosig_nb.evaluate.inference.verdict import WORDS, verdict
from biosig_nb.evaluate.predictions import simulate_predictions


def separated(n_ill=11, n_healthy=18, arms=("scratch", "full"), n_folds=3):
    "Arms that rank every patient right, in folds."
    ill = np.r_[np.ones(n_ill), np.zeros(n_healthy)]
    names = [f"p{i:02d}" for i in range(len(ill))]
    effects = dict.fromkeys(arms, 1.0)
    df = simulate_predictions(effects, n_groups=len(ill), per_group=1, n_folds=n_folds)
    number = df.group.str[-3:].astype(int)
    y = number.map(dict(enumerate(ill))).astype("int8")
    group = number.map(dict(enumerate(names)))
    fold = number % n_folds
    return df.assign(group=group, y_infarction=y, p_infarction=0.1 + 0.8 * y, fold=fold)


# ---- where resampling cannot vary


def test_both_arms_right_on_29_patients_are_not_equivalent():
    df = separated()
    c = compare_arms(df)
    assert c.lo[0] < -0.05 < 0.05 < c.hi[0]
    close = RedoInterval(0.0, lo=-0.001, hi=0.001)
    for gain in (0.02, 0.5):
        assert verdict(c, gain, redo=close).word == "inconclusive"


def test_none_of_26_has_an_upper_end():
    df = separated(26, 30)
    never = df.assign(p_infarction=df.p_infarction / 10)
    t = metric_table(never, ("sensitivity", "specificity"), unit="patient").set_index("metric")
    row = t[t.arm == "full"].loc["sensitivity"]
    exact = binomtest(0, 26).proportion_ci(method="exact")
    assert row.estimate == 0
    assert row.hi >= 0.10
    assert [row.lo, row.hi] == pytest.approx([exact.low, exact.high], abs=1e-9)


def test_one_fold_yes_and_one_fold_no_is_not_certain():
    df = separated(26, 30, n_folds=2)
    df = df.assign(p_infarction=np.where(df.fold == 0, 0.9, 0.1))
    t = metric_table(df, ("sensitivity",), unit="patient")
    assert (t.estimate - 0.5).abs().max() < 0.05
    assert (t.hi - t.lo).min() > 0.3
    assert any("says the same of everybody" in n for n in t.attrs["notes"])


def test_a_true_difference_is_not_called_equivalent():
    """Arms with AUROC .99 and about .965 on 29 patients: resamples often do not vary."""
    close, words, flat = RedoInterval(0.0, lo=-0.001, hi=0.001), [], 0
    for seed in range(8):
        df = simulate_predictions(
            {"scratch": 4.2, "full": 5.4}, n_groups=30, per_group=1, n_folds=3, seed=seed
        )
        c = compare_arms(df)
        flat += c.method[0] != "percentile"
        words.append(verdict(c, 0.02, redo=close).word)
    assert flat >= 2
    assert "equivalent" not in words


# ---- redone studies


def test_two_arms_of_one_law_are_seldom_a_benefit():
    found = honesty(redone_studies(World(40, bodies=3), 150, 120, seed=7))
    assert found["word_benefit"] <= 0.035 + 2 * math.sqrt(0.035 * 0.965 / 150)
    assert found["redo_cover"] >= 0.93
    assert found["printed_cover"] < found["redo_cover"]


def test_one_pretraining_run_carries_no_word_about_methods():
    t = redone_studies(World(200, bodies=1), 40, 100, seed=1)
    assert ((t.lo > 0) | (t.hi < 0)).mean() > 0.2  # the networks do differ
    assert not t.about_methods.any()


def test_without_overlap_the_corrected_t_is_the_t_test():
    d = np.random.default_rng(0).normal(0.1, 1, 9)
    found, plain = corrected_t(d, 1e-12), ttest_1samp(d, 0)
    assert found.p_harm == pytest.approx(plain.pvalue / 2 if d.mean() > 0 else 1 - plain.pvalue / 2)


def test_source_seed_is_optional_and_counts_runs():
    df = simulate_predictions({"scratch": 1.0, "full": 1.5}, n_groups=40, n_repeats=3)
    df = df.assign(target_n=26, start=np.where(df.arm == "full", "source", "random"))
    one = redo_interval(df, "full", unit="beat")
    assert (one.n_sources, one.caveat) == (1, "one pre-training run")
    seeds = np.where(df.arm == "full", df["repeat"].to_numpy(), 0)
    three = redo_interval(df.assign(source_seed=seeds), "full", unit="beat", smallest_gain=0.02)
    assert three.n_sources == 3 and three.about_methods and three.source_sd > 0
    assert three.difference == pytest.approx(one.difference)
    stored = json.loads(json.dumps(three.as_dict(), allow_nan=False))
    assert stored["p_benefit"] + stored["p_within"] + stored["p_harm"] == pytest.approx(1)
    compared = compare_arms(df, unit="beat")
    assert verdict(compared, 0.02, redo=one).word == "benefit_these_networks"
    assert "the same pre-training run" in verdict(compared, 0.02, redo=one).sentence
    assert "SD between 3 pre-training runs" in verdict(compared, 0.02, redo=three).sentence


def test_a_word_never_claims_more_than_both_intervals():
    rng = np.random.default_rng(4)
    names = dict(target="t", protocol="p", model="m", arm="full", baseline="scratch", n_groups=50)
    names |= dict(metric="auroc", label="ill", unit="patient", conf=0.95, method="percentile")
    seen = set()
    for _ in range(800):
        d, half, redo_half = rng.normal(0, 0.03), *rng.uniform(0.001, 0.06, 2)
        row = names | dict(difference=d, lo=d - half, hi=d + half)
        row["p_adjusted"] = 0.01 if abs(d) > half else 0.5
        redo = RedoInterval(d, lo=d - redo_half, hi=d + redo_half)
        word = verdict(row, 0.02, redo=redo).word
        seen.add(word)
        if word in ("benefit", "harm"):
            sign = 1 if word == "benefit" else -1
            assert min(sign * x for x in (row["lo"], row["hi"], redo.lo, redo.hi)) > 0
        if word in ("equivalent", "trivial"):
            assert max(abs(row["lo"]), abs(row["hi"])) <= 0.02
        if word == "equivalent":
            assert max(abs(redo.lo), abs(redo.hi)) <= 0.02
    assert seen == set(WORDS)


# ---- coverage and power


def test_coverage_by_the_rarer_class_is_counted_in_enough_studies():
    t = class_coverage_table()
    assert set(t.statistic) == set(STATISTICS)
    assert t.studies.min() >= 400
    assert t.se.max() < 0.03
    few = t[(t.n_pos == 22) & (t.n_neg == 530) & (t.statistic == "auroc") & (t.folds == 5)]
    by_method = few.groupby("method").coverage.mean()
    assert by_method["percentile"] < by_method["logit"]
    assert "22 positive patients" in class_coverage_note(22, 530, "difference", repeats=3)


def test_power_falls_with_the_rarer_class():
    table = pd.concat([what_can_be_said(m, 500, 0.05).table() for m in (10, 40, 160)])
    by_r = table.groupby("correlation").power.apply(list)
    for powers in by_r:
        assert powers == sorted(powers)
    assert what_can_be_said(10, 500, 0.05).sentence.endswith("Out of reach: trivial, equivalent.")
