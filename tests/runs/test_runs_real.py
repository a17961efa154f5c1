"""The report on heartbeats from real recordings: the small slices, read where they are."""

import json
import os
from pathlib import Path

import pandas as pd
import pytest
from fresh import biosig

ROOT = os.environ.get("BIOSIG_DATA", "")
DS2 = "100 103 105 111 113 117 121 123 200 210 212 213 214 219 221 222 228 231 232 233 234".split()
SMALL = {  # the smallest run under both protocols
    "arms": "scratch,full",
    "models": "mlp",
    "max_updates": 20,
    "pretrain_updates": 20,
    "n_source_records": 4,
    "n_random_features": 84,
    "n_resamples": 100,
}


@pytest.mark.realdata
@pytest.mark.skipif(
    not ROOT or not (Path(ROOT) / "mitdb").is_dir() or not (Path(ROOT) / "ptbdb").is_dir(),
    reason="BIOSIG_DATA does not hold mitdb and ptbdb",
)
def test_smoke_run_on_real_recordings(tmp_path):
    settings = [text for k, v in SMALL.items() for text in ("-p", f"{k}={v}")]
    real = ("--data", "real", "--out", tmp_path / "runs")
    done = biosig("run", "mitbih_ptb", *real, *settings)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs" / "mitbih_ptb").iterdir()
    record = json.loads((folder / "run.json").read_text())
    assert record["status"] == "complete"
    assert record["data"]["kind"] == "real"
    assert record["primary"]["verdict"] is None
    page = (folder / "index.html").read_text()
    assert 'id="verdict"' in page
    assert 'id="simulated-banner"' not in page
    assert "of the 549 published records" in page
    source = pd.read_parquet(folder / "predictions_mitdb.parquet")
    tested = source[(source.protocol == "recommended") & (source.part == "test")]
    patients = set(tested.group)
    assert patients
    assert patients <= {f"mitdb/{record}" for record in DS2}
    target = pd.read_parquet(folder / "predictions.parquet").query("protocol == 'recommended'")
    tested, chosen = target[target.part == "test"], target[target.part == "validation"]
    for fold, rows in tested.groupby("fold"):
        assert not set(rows.group) & set(chosen[chosen.fold == fold].group)
