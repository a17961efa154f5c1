"""Published results of the PTB-XL benchmark's xresnet1d101 (Strodthoff et al. 2021).

Labels and probabilities of 71 labels and the 2,203 records of fold 10.
"""

import os
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from biosig_nb.evaluate.inference.bootstrap import metric_table
from biosig_nb.evaluate.inference.bootstrap_interval import bootstrap_interval
from biosig_nb.evaluate.inference.resampling import resample_counts
from biosig_nb.evaluate.inference.support import support_table
from biosig_nb.evaluate.metrics import auprc, auroc, macro_auroc
from biosig_nb.evaluate.predictions import load_predictions, make_predictions, save_predictions

pytestmark = pytest.mark.realdata


@pytest.fixture(scope="module")
def golden():
    root = os.environ.get("BIOSIG_DATA")
    path = Path(root).resolve().parent / "golden" / "ptbxl_all71_xresnet1d101.npz" if root else None
    if path is None or not path.is_file():
        pytest.skip("no golden/ptbxl_all71_xresnet1d101.npz beside BIOSIG_DATA")
    with np.load(path) as z:
        return z["y_test"].astype(float), z["p_test"].astype(float)


@pytest.fixture(scope="module")
def table(golden):
    Y, P = golden
    ids = [f"record{i:05d}" for i in range(len(Y))]
    return make_predictions(
        study="golden",
        target="ptbxl",
        protocol="published",
        model="xresnet1d101",
        arm="scratch",
        example=ids,
        group=ids,
        Y=Y,
        P=P,
        labels=[f"label{j:02d}" for j in range(Y.shape[1])],
    )


def test_macro_auroc_is_the_published_one(golden):
    Y, P = golden
    assert Y.shape == (2203, 71)
    assert abs(macro_auroc(Y, P) - 0.9254358590) < 1e-10
    assert abs(macro_auroc(Y, P) - roc_auc_score(Y, P, average="macro")) < 1e-12


def test_every_label_equals_sklearn(golden):
    Y, P = golden
    assert np.abs(auroc(Y, P) - roc_auc_score(Y, P, average=None)).max() < 1e-12
    assert np.abs(auprc(Y, P) - average_precision_score(Y, P, average=None)).max() < 1e-12


def test_support_rule_leaves_49_of_71_labels(table):
    assert support_table(table).qualified.sum() == 49


def test_table_and_interval(table):
    t = metric_table(
        table, metrics=("auroc",), unit="record", n_resamples=1000, conf=0.9
    ).set_index("label")
    assert abs(t.estimate["macro_all"] - 0.9254358590) < 1e-10
    assert np.isnan(t.lo["macro_all"])  # 22 labels have too few positives
    assert t.lo["macro"] < t.estimate["macro"] < t.hi["macro"]
    assert 0.002 < (t.hi["macro"] - t.lo["macro"]) / 2 < 0.010
    assert t.drop(["macro", "macro_all"]).lo.notna().sum() == 49


def test_all_labels_interval_has_the_published_width(golden):
    """Over the labels that occur in each resample, as the benchmark does it."""
    Y, P = golden
    lo, hi = np.percentile(macro_auroc(Y, P, resample_counts(np.arange(len(Y)), 1000)), [5, 95])
    assert lo < 0.9254358590 < hi
    # the benchmark prints about .007
    assert 0.005 < (hi - lo) / 2 < 0.010


def test_interval_that_drops_absent_labels(golden):
    i = bootstrap_interval(
        *golden, metric="auroc", label="macro_all", n_resamples=1000, conf=0.9, missing="drop"
    )
    assert abs(i.estimate - 0.9254358590) < 1e-10
    assert i.rejected == 0
    assert abs(i.lo - 0.9165) < 0.001
    assert abs(i.hi - 0.9333) < 0.001


def test_interval_that_rejects_such_resamples(golden):
    """The published ends, .9191 and .9326, are those of 100 resamples.

    Their lower end has a standard error of about .001. With 10,000 resamples the ends are near
    .9180 and .9330. The published ends must lie within the range of intervals of 100 resamples.
    """
    i = bootstrap_interval(*golden, n_resamples=1000, conf=0.9, missing="reject")
    # two labels have a single positive, seven have two
    assert abs(i.estimate - 0.9254358590) < 1e-10
    assert 0.85 < i.rejected < 0.92
    assert abs(i.lo - 0.9180) < 0.001
    assert abs(i.hi - 0.9330) < 0.001
    assert abs(i.hi - 0.9326) < 0.001
    hundred = [
        bootstrap_interval(*golden, n_resamples=100, conf=0.9, missing="reject", seed=s)
        for s in range(8)
    ]
    assert min(i.lo for i in hundred) < 0.9191 < max(i.lo for i in hundred)
    assert min(i.hi for i in hundred) < 0.9326 < max(i.hi for i in hundred)


def test_resamples_equal_sklearn(golden):
    Y, P = golden
    counts = resample_counts(np.arange(len(Y)), 2)
    found = macro_auroc(Y, P, counts)
    for b, c in enumerate(counts):
        y, p = np.repeat(Y, c, axis=0), np.repeat(P, c, axis=0)
        there = y.any(axis=0)
        assert abs(found[b] - roc_auc_score(y[:, there], p[:, there], average="macro")) < 1e-12


def test_extreme_probabilities_survive_the_file(table, tmp_path):
    back = load_predictions(save_predictions(table, tmp_path / "predictions.parquet"))
    assert back.equals(table)
