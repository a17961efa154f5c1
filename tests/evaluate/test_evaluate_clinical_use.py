"""Clinical use, subgroups and averages over seeds against slow and simple computations."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit
from sklearn.linear_model import LogisticRegression

from biosig_nb.errors import DataError
from biosig_nb.evaluate.clinical.clinical_use import (
    clinical_table,
    decision_predictions,
    net_benefit_gain,
)
from biosig_nb.evaluate.group_table import make_groups
from biosig_nb.evaluate.inference.compare import compare_arms
from biosig_nb.evaluate.inference.resampling import resample_counts
from biosig_nb.evaluate.predictions import simulate_predictions
from biosig_nb.evaluate.transfer.seed_average import seed_averages
from biosig_nb.evaluate.transfer.subgroups import subgroup_table


def with_validation(df):
    "The table with the other folds' rows as validation rows."
    other = df.assign(part="validation", fold=(df.fold + 1) % df.fold.nunique())
    return pd.concat([df, other], ignore_index=True)


def test_one_class_against_the_rest_is_calibrated_by_patient():
    labels = tuple("NSV")
    df = simulate_predictions(
        {"full": 2.0}, labels, n_groups=60, per_group=5, n_folds=2, shares=(0.8, 0.1, 0.1)
    )
    df = with_validation(df)
    found = decision_predictions(df, "V").set_index(["fold", "group"])
    assert [c for c in found if c.startswith("p_")] == ["p_V"]
    by = ["part", "fold", "group"]
    patients = df.groupby(by).agg(y=("y_V", "max"), p=("p_V", "mean")).reset_index()
    for fold, rows in patients.groupby("fold"):
        v, t = (rows[rows.part == part] for part in ("validation", "test"))
        model = LogisticRegression(C=np.inf, tol=1e-10).fit(logit(v[["p"]].to_numpy()), v.y)
        p = model.predict_proba(logit(t[["p"]].to_numpy()))[:, 1]
        assert found.loc[fold].loc[t.group].p_V.to_numpy() == pytest.approx(p, abs=1e-5)
        assert (found.loc[fold].loc[t.group].y_V.to_numpy() == t.y.to_numpy()).all()
    table = clinical_table(df, 0.3, label="V", n_resamples=50)
    assert set(table.label) == {"V"} and set(table.threshold) == {0.3}


def test_a_fold_that_cannot_be_fitted_is_named():
    df = with_validation(simulate_predictions({"full": 1.5}, n_groups=40, per_group=1, n_folds=2))
    lost = (df.part == "validation") & (df.fold == 0)
    df.loc[lost, "y_infarction"] = 0
    found = decision_predictions(df)
    (note,) = found.attrs["notes"]
    assert note.startswith("recalibration of full: 1 notes on 2 folds") and "no case" in note
    raw = df[(df.part == "test") & (df.fold == 0)].set_index("group").p_infarction
    same = found[found.fold == 0].set_index("group").p_infarction
    assert same.to_dict() == pytest.approx(raw.to_dict())
    assert note in clinical_table(df, 0.3, n_resamples=50).attrs["notes"]


def test_net_benefit_gain_against_rows_written_out():
    df = with_validation(simulate_predictions(n_groups=30, per_group=3, n_folds=2, seed=3))
    found = net_benefit_gain(df, 0.4, seed=5).iloc[0]
    after = decision_predictions(df)
    groups = np.unique(after.group)
    value = np.where(after.y_infarction == 1, 1, -0.4 / 0.6) * (after.p_infarction >= 0.4)
    after = after.assign(value=value)
    wide = after.pivot(index=["fold", "group"], columns="arm", values="value")
    gain = (wide.full - wide.scratch).reset_index(name="gain")
    counts = resample_counts(groups, 10_000, 5)
    weights = counts[:, np.searchsorted(groups, gain.group)]
    folds = [np.flatnonzero(gain.fold == k) for k in (0, 1)]
    scores = [
        (weights[:, i] * gain.gain.to_numpy()[i]).sum(1) / weights[:, i].sum(1) for i in folds
    ]
    ends = np.percentile(np.mean(scores, axis=0), [2.5, 97.5])
    assert [found.lo, found.hi] == pytest.approx(ends, abs=1e-12)
    assert found.difference == pytest.approx(gain.groupby("fold").gain.mean().mean())


def test_a_subgroup_of_everybody_is_the_comparison():
    df = simulate_predictions(n_groups=40, per_group=2, seed=4)
    everybody = make_groups(df.group, sex=["f"] * len(df))
    (row,) = subgroup_table(df, everybody, by=("sex",), n_resamples=10_000).itertuples()
    expected = compare_arms(df).iloc[0]
    found = [row.gain_estimate, row.gain_lo, row.gain_hi]
    assert found == pytest.approx(expected[["difference", "lo", "hi"]].tolist(), abs=1e-12)


def test_the_average_over_seeds_resamples_the_same_patients():
    "Two runs with the same predictions: an average as uncertain as each of them."
    df = simulate_predictions(n_groups=40, per_group=2, seed=4)
    one, two = (seed_averages([df] * k, n_resamples=500).set_index("arm") for k in (1, 2))
    columns = ["estimate", "patients_lo", "patients_hi"]
    assert two[columns].to_numpy() == pytest.approx(one[columns].to_numpy(), abs=1e-12)
    assert two.lo.to_list() == pytest.approx(one.lo.to_list(), abs=1e-12)  # the seeds agree
    other = df.assign(target="another")
    with pytest.raises(DataError, match="2 targets or protocols"):
        seed_averages([df, other])
