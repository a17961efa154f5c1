"""The report on 12-lead ECGs: the proxy target, Georgia recordings, a copied target."""

import ast
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fresh import biosig

from biosig_nb.data.databases.label_map import statement_of

ROOT = os.environ.get("BIOSIG_DATA", "")
NEEDED = ("ptb-xl", "challenge-2021")
THERE = bool(ROOT) and all((Path(ROOT) / k).is_dir() for k in NEEDED)


def realdata(test):
    "A test that needs both databases."
    absent = pytest.mark.skipif(not THERE, reason=f"BIOSIG_DATA does not hold {', '.join(NEEDED)}")
    return pytest.mark.realdata(absent(test))


def run(tmp_path, **given):
    "A finished run on real recordings: its folder and predictions."
    settings = [text for k, v in given.items() for text in ("-p", f"{k}={v}")]
    real = ("--data", "real", "--out", tmp_path / "runs", "-p", "protocol=recommended")
    done = biosig("run", "ptbxl_g12ec", *real, *settings)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs" / "ptbxl_g12ec").iterdir()
    record = json.loads((folder / "run.json").read_text())
    assert record["status"] == "complete"
    assert record["primary"]["verdict"] is None
    return folder, pd.read_parquet(folder / "predictions.parquet")


def numbers(rows):
    "The number of each recording of PTB-XL."
    return rows.example.str.rsplit("/").str[-1].astype(int)


@realdata
def test_proxy_trains_on_fold_2_and_is_tested_on_fold_9(tmp_path):
    sizes = {"target_percent": "100,50", "small_target": 50, "source_percent": "100,50"}
    folder, found = run(tmp_path, **sizes)
    table = pd.read_csv(Path(ROOT) / "ptb-xl/1.0.3/ptbxl_database.csv", index_col="ecg_id")
    test = found[(found.part == "test") & (found.target == "statements")]
    assert set(table.strat_fold[numbers(test).unique()]) == {9}
    assert set(table.strat_fold[numbers(found[found.part == "validation"])]) == {2}
    codes = table.scp_codes[numbers(test)].map(ast.literal_eval)
    for label in (c[2:] for c in found if c.startswith("y_")):
        truth = codes.map(lambda d, label=label: label in d).to_numpy()
        assert (test[f"y_{label}"].to_numpy() == truth).all(), label
    half = set(found.arm[found.target == "statements, 50 %"])
    assert {"scratch", "full", "full (ptb-xl, 50 %)"} <= half
    assert "statements, axis-order bug" in set(found.target)
    assert "A proxy target." in (folder / "index.html").read_text()


@realdata
def test_georgia_on_real_recordings(tmp_path):
    folder, found = run(tmp_path, target_set="georgia", min_positives=3, ablation=False)
    known = {f"y_{k}" for k in statement_of(merge=True).values()}
    assert {c for c in found if c.startswith("y_")} <= known
    test = found[(found.part == "test") & (found.arm == "full")]
    georgia = Path(ROOT) / "challenge-2021/1.0.3/training/georgia"
    assert test.example.nunique() == len(list(georgia.glob("*/*.hea")))
    assert not test.duplicated("example").any()
    assert np.isfinite(found.filter(like="p_").to_numpy()).all()
    assert "not evidence" in (folder / "index.html").read_text()


def refused(tmp_path, *more):
    "The one line that a run ends with before anything is trained."
    where = ("--out", tmp_path / "runs", "-p", "target_site=ptb-xl")
    done = biosig("run", "ptbxl_g12ec", *where, *more)
    assert done.returncode in (1, 2), done.stderr
    assert not list((tmp_path / "runs").rglob("jobs"))
    lines = [line for line in done.stderr.splitlines() if line.startswith("biosig-nb: ")]
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_a_simulated_target_that_is_the_source_is_refused(tmp_path):
    assert "challenge-2021 (ptb-xl) holds recordings of ptb-xl" in refused(tmp_path)


@realdata
def test_a_real_target_that_is_the_source_is_refused(tmp_path):
    root = tmp_path / "data"
    for slug in NEEDED:
        shutil.copytree(Path(ROOT) / slug, root / slug)
    folder = root / "challenge-2021/1.0.3/training"
    shutil.copytree(folder / "georgia", folder / "ptb-xl")
    line = refused(tmp_path, "--data", "real", "-p", "target_set=georgia", "--data-root", root)
    assert "challenge-2021 (ptb-xl) holds recordings of ptb-xl" in line
