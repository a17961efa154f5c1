"""The report on 12-lead ECGs: the proxy target, real Georgia recordings, a target that is a copy."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from biosig_nb.data.databases.label_map import statement_of

PROGRAM = Path(sys.executable).with_name("biosig-nb")
ROOT = os.environ.get("BIOSIG_DATA", "")
NEEDED = ("ptb-xl", "challenge-2021")
THERE = bool(ROOT) and all((Path(ROOT) / k).is_dir() for k in NEEDED)


def realdata(test):
    return pytest.mark.realdata(
        pytest.mark.skipif(not THERE, reason=f"BIOSIG_DATA does not hold {', '.join(NEEDED)}")(test)
    )


def run(tmp_path, *more):
    command = [
        PROGRAM,
        "run",
        "ptbxl_g12ec",
        "--data",
        "real",
        "--out",
        tmp_path / "runs",
        "-p",
        "protocol=recommended",
        *more,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs" / "ptbxl_g12ec").iterdir()
    record = json.loads((folder / "run.json").read_text())
    assert record["status"] == "complete" and record["primary"]["verdict"] is None
    return folder, pd.read_parquet(folder / "predictions.parquet")


@realdata
def test_proxy_trains_on_fold_2_and_is_tested_on_fold_9(tmp_path):
    folder, found = run(
        tmp_path,
        "-p",
        "target_percent=100,50",
        "-p",
        "small_target=50",
        "-p",
        "source_percent=100,50",
    )
    table = pd.read_csv(Path(ROOT) / "ptb-xl/1.0.3/ptbxl_database.csv", index_col="ecg_id").rename(
        columns={"strat_fold": "fold"}
    )
    test = found[(found.part == "test") & (found.target == "statements")]
    number = test.example.str.rsplit("/").str[-1].astype(int)
    assert set(table.loc[number.unique()].fold) == {9} and set(
        table.loc[
            found[found.part == "validation"].example.str.rsplit("/").str[-1].astype(int)
        ].fold
    ) == {2}
    said = table.scp_codes[number].map(ast.literal_eval)
    for k in (c[2:] for c in found if c.startswith("y_")):
        assert (test[f"y_{k}"].to_numpy() == said.map(lambda d, k=k: k in d).to_numpy()).all()
    assert {"scratch", "full", "full (ptb-xl, 50 %)"} <= set(
        found[found.target == "statements, 50 %"].arm
    ) and "statements, axis-order bug" in set(found.target)
    assert "A proxy target." in (folder / "index.html").read_text()


@realdata
def test_georgia_as_it_is_there(tmp_path):
    folder, found = run(
        tmp_path, "-p", "target_set=georgia", "-p", "min_positives=3", "-p", "ablation=False"
    )
    assert {f"y_{k}" for k in statement_of(merge=True).values()} >= {
        c for c in found if c.startswith("y_")
    }
    test = found[(found.part == "test") & (found.arm == "full")]
    assert (
        test.example.nunique()
        == len(list((Path(ROOT) / "challenge-2021/1.0.3/training/georgia").glob("*/*.hea")))
        and not test.duplicated("example").any()
    )
    assert (
        np.isfinite(found.filter(like="p_").to_numpy()).all()
        and "not evidence" in (folder / "index.html").read_text()
    )


def refused(tmp_path, *more):
    "The one line that a run ends with before anything is trained."
    command = [
        PROGRAM,
        "run",
        "ptbxl_g12ec",
        "--out",
        tmp_path / "runs",
        "-p",
        "target_site=ptb-xl",
        *more,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode in (1, 2) and not list((tmp_path / "runs").rglob("jobs")), done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("biosig-nb: ")]
    assert len(said) == 1, done.stderr
    return said[0]


def test_a_simulated_target_that_is_the_source_is_refused(tmp_path):
    assert "challenge-2021 (ptb-xl) holds recordings of ptb-xl" in refused(tmp_path)


@realdata
def test_a_real_target_that_is_the_source_is_refused(tmp_path):
    root = tmp_path / "data"
    for slug in NEEDED:
        shutil.copytree(Path(ROOT) / slug, root / slug)
    folder = root / "challenge-2021/1.0.3/training"
    shutil.copytree(folder / "georgia", folder / "ptb-xl")
    said = refused(tmp_path, "--data", "real", "-p", "target_set=georgia", "--data-root", root)
    assert "challenge-2021 (ptb-xl) holds recordings of ptb-xl" in said
