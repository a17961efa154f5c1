"""The report on atrial fibrillation: three source tasks, real recordings of the 2017 challenge."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

PROGRAM = Path(sys.executable).with_name("biosig-nb")
ROOT = os.environ.get("BIOSIG_DATA", "")
NEEDED = ("challenge-2017", "mitdb", "ptb-xl", "icentia11k-continuous-ecg")


@pytest.mark.realdata
@pytest.mark.skipif(
    not ROOT or not all((Path(ROOT) / k).is_dir() for k in NEEDED),
    reason=f"BIOSIG_DATA does not hold {', '.join(NEEDED)}",
)
def test_three_source_tasks_and_real_recordings(tmp_path):
    command = [
        PROGRAM,
        "run",
        "icentia_af",
        "--data",
        "real",
        "--out",
        tmp_path / "runs",
        "-p",
        "protocol=recommended",
        "-p",
        "n_random_features=100",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs" / "icentia_af").iterdir()
    record = json.loads((folder / "run.json").read_text())
    assert (
        record["status"] == "complete"
        and record["primary"]["declared"] is True
        and record["primary"]["verdict"] is None
    )
    found = pd.read_parquet(folder / "predictions.parquet")
    assert {
        "scratch",
        "full",
        "full (ptb-xl statements)",
        "full (icentia heart rate)",
        "features + boosted",
    } <= set(found.arm)
    assert (found[[f"p_{k}" for k in "NAO~"]].sum(axis=1) - 1).abs().max() < 1e-4 and not set(
        found[found.part == "test"].group
    ) & set(found[found.part == "validation"].group)
    labels = pd.read_csv(
        Path(ROOT) / "challenge-2017/1.0.0/REFERENCE-v3.csv", header=None, index_col=0
    )[1]
    truth = found[["y_N", "y_A", "y_O", "y_~"]].idxmax(axis=1).str[2:]
    assert (truth.to_numpy() == labels[found.example.str.rsplit("/").str[-1]].to_numpy()).all()
    assert (folder / "predictions_ptb-xl_statements.parquet").exists()
    assert "names no patients" in (folder / "index.html").read_text()
