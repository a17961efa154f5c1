"""The report on atrial fibrillation: three pre-training tasks on real recordings."""

import json
import os
from pathlib import Path

import pandas as pd
import pytest
from fresh import biosig

ROOT = os.environ.get("BIOSIG_DATA", "")
NEEDED = ("challenge-2017", "mitdb", "ptb-xl", "icentia11k-continuous-ecg")
SMALL = {  # the smallest run that trains every source
    "protocol": "recommended",
    "n_random_features": 84,
    "n_resamples": 100,
    "n_segments": 100,
    "segment": 512,
    "fs": 125,
}


@pytest.mark.realdata
@pytest.mark.skipif(
    not ROOT or not all((Path(ROOT) / k).is_dir() for k in NEEDED),
    reason=f"BIOSIG_DATA does not hold {', '.join(NEEDED)}",
)
def test_three_source_tasks_and_real_short_recordings(tmp_path):
    settings = [text for k, v in SMALL.items() for text in ("-p", f"{k}={v}")]
    real = ("--data", "real", "--out", tmp_path / "runs")
    done = biosig("run", "icentia_af", *real, *settings)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs" / "icentia_af").iterdir()
    record = json.loads((folder / "run.json").read_text())
    assert record["status"] == "complete"
    assert record["primary"]["declared"] is True
    assert record["primary"]["verdict"] is None
    found = pd.read_parquet(folder / "predictions.parquet")
    begun = {"full", "full (ptb-xl statements)", "full (icentia heart rate)"}
    assert {"scratch", *begun, "features + boosted"} <= set(found.arm)
    assert (found[[f"p_{k}" for k in "NAO~"]].sum(axis=1) - 1).abs().max() < 1e-4
    tested, chosen = (found[found.part == part] for part in ("test", "validation"))
    assert not set(tested.group) & set(chosen.group)
    reference = Path(ROOT) / "challenge-2017/1.0.0/REFERENCE-v3.csv"
    labels = pd.read_csv(reference, header=None, index_col=0)[1]
    truth = found[["y_N", "y_A", "y_O", "y_~"]].idxmax(axis=1).str[2:]
    assert (truth.to_numpy() == labels[found.example.str.rsplit("/").str[-1]].to_numpy()).all()
    assert (folder / "predictions_ptb-xl_statements.parquet").exists()
    assert "names no patients" in (folder / "index.html").read_text()
