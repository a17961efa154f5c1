"""The report on frames: the real stills of HC18 as panned sweeps, through the command line."""

import json
import os
import re
from pathlib import Path

import pandas as pd
import pytest
from fresh import biosig
from sklearn.metrics import roc_auc_score

from biosig_nb.data.databases.hc18 import hc18_sweeps

ROOT = os.environ.get("BIOSIG_DATA", "")
SMALL = {  # the smallest run that trains every kind of arm
    "protocol": "recommended",
    "size": 64,
    "stride": 8,
    "max_updates": 20,
    "pretrain_updates": 20,
    "n_resamples": 100,
}


def fold_auroc(rows):
    "AUROC of the rows of one fold."
    return roc_auc_score(rows.y_head, rows.p_head)


@pytest.mark.realdata
@pytest.mark.skipif(
    not ROOT or not (Path(ROOT) / "hc18").is_dir(), reason="BIOSIG_DATA does not hold hc18"
)
def test_panned_stills(tmp_path):
    settings = [text for k, v in SMALL.items() for text in ("-p", f"{k}={v}")]
    real = ("--data", "real", "--out", tmp_path / "runs")
    done = biosig("run", "fetal_head", *real, *settings)
    assert done.returncode == 0, done.stderr
    (folder,) = (f.parent for f in (tmp_path / "runs" / "fetal_head").glob("*/run.json"))
    record = json.loads((folder / "run.json").read_text())
    assert record["status"] == "complete"
    assert record["primary"]["verdict"] is None
    found = pd.read_parquet(folder / "predictions.parquet")
    scans = hc18_sweeps(Path(ROOT) / "hc18")
    test = found[(found.part == "test") & (found.target == "frames")]
    arms = {"random weights", "ImageNet", "ImageNet, phantom first"}
    others = {"features + logistic", "mean intensity", "position in the sweep"}
    assert arms | others <= set(test.arm)
    # each frame once, with its own label and its own patient
    for arm, rows in test.groupby("arm"):
        assert sorted(rows.example) == sorted(scans.table.index), arm
        of = scans.table.loc[rows.example]
        assert (rows.y_head.to_numpy() == of.label.to_numpy()).all()
        patients = rows.group.str.removeprefix("hc18/").to_numpy()
        assert (patients == of.patient.astype(str).to_numpy()).all()
    for _, rows in found[found.arm == "ImageNet"].groupby("fold"):
        assert not set(rows.group[rows.part == "test"]) & set(rows.group[rows.part == "validation"])
    metrics = pd.read_csv(folder / "metrics.csv")
    metrics = metrics.query("target == 'frames' and metric == 'auroc' and arm == 'ImageNet'")
    folds = test[test.arm == "ImageNet"].groupby("fold")
    by_hand = sum(fold_auroc(rows) for _, rows in folds) / folds.ngroups
    assert abs(metrics.estimate.iloc[0] - by_hand) < 1e-9
    page = (folder / "index.html").read_text()
    assert "Panned stills, not a moving probe" in page
    assert "efficientnet_lite0" in page
    assert not re.search(r"Traceback|nan \[", page)
    # the target is real; the phantom of one arm is not, and the page says so
    assert 'id="simulated-banner"' not in page
    assert "Part of this run is simulated" in page
    assert "phantom" in page
    assert record["data"]["kind"] == "real"
    assert record["data"]["databases"] == ["hc18"]
    # features are cached for the next run, of any study
    assert list((tmp_path / "runs" / "cache").glob("*.rows"))
