"""The report on real recordings: the small slices, read where they lie."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

PROGRAM = Path(sys.executable).with_name("biosig-nb")
ROOT = os.environ.get("BIOSIG_DATA", "")


@pytest.mark.realdata
@pytest.mark.skipif(
    not ROOT or not (Path(ROOT) / "mitdb").is_dir() or not (Path(ROOT) / "ptbdb").is_dir(),
    reason="BIOSIG_DATA does not hold mitdb and ptbdb",
)
def test_smoke_run_on_real_recordings(tmp_path):
    command = [
        PROGRAM,
        "run",
        "mitbih_ptb",
        "--data",
        "real",
        "--out",
        tmp_path / "runs",
        "-p",
        "arms=scratch,full",
        "-p",
        "max_updates=40",
        "-p",
        "pretrain_updates=60",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs" / "mitbih_ptb").iterdir()
    record = json.loads((folder / "run.json").read_text())
    assert (
        record["status"] == "complete"
        and record["data"]["kind"] == "real"
        and record["primary"]["verdict"] is None
    )
    page = (folder / "index.html").read_text()
    assert (
        'id="verdict"' in page
        and 'id="simulated-banner"' not in page
        and "of the 549 published records" in page
    )
    source = pd.read_parquet(folder / "predictions_mitdb.parquet").query(
        "protocol == 'recommended' and part == 'test'"
    )
    # DS2
    assert set(source.group) <= {
        f"mitdb/{r}"
        for r in (
            "200",
            "213",
            "231",
            "232",
            "233",
            "100",
            "103",
            "105",
            "111",
            "113",
            "117",
            "121",
            "123",
            "210",
            "212",
            "214",
            "219",
            "221",
            "222",
            "228",
            "234",
        )
    }
    target = pd.read_parquet(folder / "predictions.parquet").query("protocol == 'recommended'")
    tested, chosen = target[target.part == "test"], target[target.part == "validation"]
    for fold, rows in tested.groupby("fold"):
        assert not set(rows.group) & set(chosen[chosen.fold == fold].group)
