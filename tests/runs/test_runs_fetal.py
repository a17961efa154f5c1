"""The report on frames: the real stills of HC18 as panned sweeps, through the command line."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from biosig_nb.data.databases.hc18 import hc18_sweeps

PROGRAM = Path(sys.executable).with_name("biosig-nb")
ROOT = os.environ.get("BIOSIG_DATA", "")


@pytest.mark.realdata
@pytest.mark.skipif(
    not ROOT or not (Path(ROOT) / "hc18").is_dir(), reason="BIOSIG_DATA does not hold hc18"
)
def test_panned_stills(tmp_path):
    command = [
        PROGRAM,
        "run",
        "fetal_head",
        "--data",
        "real",
        "--out",
        tmp_path / "runs",
        "-p",
        "protocol=recommended",
        "-p",
        "size=64",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    (folder,) = (f.parent for f in (tmp_path / "runs" / "fetal_head").glob("*/run.json"))
    record, found = (
        json.loads((folder / "run.json").read_text()),
        pd.read_parquet(folder / "predictions.parquet"),
    )
    assert record["status"] == "complete" and record["primary"]["verdict"] is None
    scans = hc18_sweeps(Path(ROOT) / "hc18")
    test = found[(found.part == "test") & (found.target == "frames")]
    assert {
        "random weights",
        "ImageNet",
        "ImageNet, phantom first",
        "features + logistic",
        "mean intensity",
        "place in the sweep",
    } <= set(test.arm)
    for arm, rows in test.groupby("arm"):  # each frame once, with its own label and its own patient
        assert sorted(rows.example) == sorted(scans.table.index), arm
        of = scans.table.loc[rows.example]
        assert (rows.y_head.to_numpy() == of.label.to_numpy()).all() and (
            rows.group.str.removeprefix("hc18/").to_numpy() == of.patient.astype(str).to_numpy()
        ).all()
    for _, rows in found[found.arm == "ImageNet"].groupby("fold"):
        assert not set(rows.group[rows.part == "test"]) & set(rows.group[rows.part == "validation"])
    metrics = pd.read_csv(folder / "metrics.csv").query(
        "target == 'frames' and metric == 'auroc' and arm == 'ImageNet'"
    )
    by_hand = (
        test[test.arm == "ImageNet"]
        .groupby("fold")
        .apply(lambda d: roc_auc_score(d.y_head, d.p_head))
        .mean()
    )
    assert abs(metrics.estimate.iloc[0] - by_hand) < 1e-9
    page = (folder / "index.html").read_text()
    assert (
        "Panned stills, not a moving probe" in page
        and "efficientnet_lite0" in page
        and not re.search(r"Traceback|nan \[", page)
    )
    # what is evaluated on is real; the phantom of one arm is not, and the page says so
    assert 'id="simulated-banner"' not in page
    assert "Part of this run is simulated" in page and "phantom" in page
    assert record["data"]["kind"] == "real" and record["data"]["databases"] == ["hc18"]
    # features stay for the next run, of whatever study
    assert list((tmp_path / "runs" / "cache").glob("*.rows"))
