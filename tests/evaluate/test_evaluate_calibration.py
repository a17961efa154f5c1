"""Calibration on a public table: PTB-XL's 71 labels as its benchmark scores folds 9 and 10.

The network is xresnet1d101 (Strodthoff et al. 2021).
"""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from biosig_nb.evaluate.clinical.before_after import before_after
from biosig_nb.evaluate.clinical.calibration import calibration_intercept, calibration_slope, ece
from biosig_nb.evaluate.clinical.calibration_table import calibration_table
from biosig_nb.evaluate.clinical.recalibrate import fit_platt, fit_temperature, recalibrated
from biosig_nb.evaluate.kernels.logistic import logit
from biosig_nb.evaluate.metrics import macro_auroc
from biosig_nb.evaluate.predictions import make_predictions, probabilities, truth


@pytest.fixture(scope="module")
def table():
    "Fold 9 as validation and fold 10 as test rows of one model."
    root = os.environ.get("BIOSIG_DATA")
    path = Path(root).resolve().parent / "golden" / "ptbxl_all71_xresnet1d101.npz" if root else None
    if path is None or not path.is_file():
        pytest.skip("no golden/ptbxl_all71_xresnet1d101.npz beside BIOSIG_DATA")
    with np.load(path) as z:
        parts = {
            part: (z[f"y_{s}"].astype(float), z[f"p_{s}"].astype(float))
            for part, s in (("validation", "val"), ("test", "test"))
        }
    names = [f"label{j:02d}" for j in range(71)]
    tables = []
    for part, (Y, P) in parts.items():
        ids = [f"{part}{i:05d}" for i in range(len(Y))]
        tables.append(
            make_predictions(
                study="golden",
                target="ptbxl",
                protocol="published",
                model="xresnet1d101",
                arm="scratch",
                part=part,
                example=ids,
                group=ids,
                Y=Y,
                P=P,
                labels=names,
            )
        )
    return pd.concat(tables, ignore_index=True)


@pytest.mark.realdata
def test_probabilities_sum_to_more_than_the_positives(table):
    test = table[table.part == "test"]
    assert abs(probabilities(test).sum() / truth(test).sum() - 1.226) < 0.001


@pytest.mark.realdata
def test_slope_and_intercept_equal_statsmodels(table):
    test = table[table.part == "test"]
    Y, P, checked = truth(test), probabilities(test), 0
    slope, intercept = calibration_slope(Y, P), calibration_intercept(Y, P)
    for j in np.flatnonzero((Y.sum(0) >= 10) & (Y.sum(0) <= len(Y) - 10)):
        x = logit(P[:, j])
        fit = sm.GLM(Y[:, j], sm.add_constant(x), family=sm.families.Binomial()).fit(tol=1e-14)
        ones, binomial = np.ones(len(Y)), sm.families.Binomial()
        large = sm.GLM(Y[:, j], ones, family=binomial, offset=x).fit(tol=1e-14)
        assert abs(slope[j] - fit.params[1]) < 1e-6
        assert abs(intercept[j] - large.params[0]) < 1e-6
        checked += 1
    assert checked == 49


@pytest.mark.realdata
def test_temperature_of_fold_9_reported_on_fold_10(table):
    after, before = recalibrated(table, "temperature"), table[table.part == "test"]
    Y, P, Q = truth(before), probabilities(before), probabilities(after)
    assert fit_temperature(table[table.part == "validation"]).T.shape == (1,)
    assert abs(macro_auroc(Y, P) - 0.9254358590) < 1e-10
    assert abs(macro_auroc(Y, Q) - 0.9254358590) < 1e-10
    losses = [np.mean(-np.log(np.where(Y == 1, R, 1 - R).clip(1e-12))) for R in (P, Q)]
    assert losses[1] < losses[0]


@pytest.mark.realdata
def test_temperature_and_platt_do_not_use_the_test_labels(table):
    spoiled = table.copy()
    labels = [c for c in table.columns if c.startswith("y_")]
    spoiled.loc[spoiled.part == "test", labels] = 1 - spoiled.loc[spoiled.part == "test", labels]
    for method in ("temperature", "platt"):
        after, same = (probabilities(recalibrated(t, method)) for t in (spoiled, table))
        assert np.array_equal(after, same)


@pytest.mark.realdata
def test_before_and_after(table):
    t = before_after(
        table,
        metrics=("auroc", "calibration_slope", "expected_observed", "ece"),
        unit="record",
        n_resamples=50,
    )
    value = t[t.label == "macro_all"].set_index(["method", "metric"]).estimate
    for method in ("as it came", "temperature"):
        assert abs(value[method, "auroc"] - 0.9254358590) < 1e-10
    macro = t[t.label == "macro"].set_index(["method", "metric"]).estimate
    for method in ("platt", "isotonic"):
        off = abs(macro["as it came", "expected_observed"] - 1)
        assert abs(macro[method, "expected_observed"] - 1) < off
        assert macro[method, "ece"] < macro["as it came", "ece"]


@pytest.mark.realdata
def test_platt_calibrates_the_validation_rows(table):
    validation = table[table.part == "validation"]
    Y, fitted = truth(validation), fit_platt(validation)
    Q, ok = fitted.apply(probabilities(validation)), ~np.isnan(fitted.slope)
    assert ok.sum() >= 60
    assert np.abs(Q.sum(0) - Y.sum(0))[ok].max() < 1e-2
    assert ece(Y[:, ok], Q[:, ok]).mean() < ece(Y[:, ok], probabilities(validation)[:, ok]).mean()


@pytest.mark.realdata
def test_table_of_all_labels_is_complete(table):
    t = calibration_table(table, unit="record", n_resamples=100)
    macro = t[t.label == "macro"].set_index("metric")
    assert macro[["estimate", "lo", "hi"]].notna().all(axis=None)
    assert t.attrs["rejected"] < 10
