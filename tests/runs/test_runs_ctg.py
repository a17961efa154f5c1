"""The report on cardiotocograms: CTU-UHB as the source, a user's own folder as the target."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from biosig_nb.data.simulate.ctg_site import simulate_site

PROGRAM = Path(sys.executable).with_name("biosig-nb")
ROOT = os.environ.get("BIOSIG_DATA", "")


@pytest.mark.realdata
@pytest.mark.skipif(
    not ROOT or not (Path(ROOT) / "ctu-uhb-ctgdb").is_dir(),
    reason="BIOSIG_DATA does not hold ctu-uhb-ctgdb",
)
def test_births_of_ones_own_beside_the_real_database(tmp_path):
    mine = simulate_site(tmp_path / "mine", n_records=30, minutes=31)
    command = [
        PROGRAM,
        "run",
        "ctg_ne",
        "--data",
        "real",
        "--out",
        tmp_path / "runs",
        "-p",
        "protocol=recommended",
        "-p",
        "target_set=own",
        "-p",
        f"folder={mine}",
        "-p",
        "arms=scratch,lora",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs" / "ctg_ne").iterdir()
    record = json.loads((folder / "run.json").read_text())
    # the declared label is an acidosis of the scalp recordings
    assert record["status"] == "complete" and record["primary"]["declared"] is False
    found = pd.read_parquet(folder / "predictions.parquet").query("part == 'test'")
    assert set(found[found.target == "deliveries"].group) == {
        f"own/mother{k:03d}" for k in range(1, 31)
    }
    assert found[found.target == "all births"].group.str.startswith(
        "ctu-uhb-ctgdb/"
    ).all() and "recording type" in set(found.arm)
    assert not found[found.target == "deliveries"].p_case.isna().any()
    page = (folder / "index.html").read_text()
    assert "holds no diagnosis of neonatal encephalopathy" in page and 'id="verdict"' in page


def test_a_target_set_that_is_not_there(tmp_path):
    done = subprocess.run(
        [
            PROGRAM,
            "run",
            "ctg_ne",
            "--out",
            tmp_path / "runs",
            "-p",
            "target_set=own",
            "-p",
            f"folder={tmp_path}",
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (
        done.returncode == 1
        and "no records.csv; it needs the columns record, label" in done.stderr
        and done.stderr.count("\n") == 1
    )
