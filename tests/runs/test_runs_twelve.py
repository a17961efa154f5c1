"""The report on twelve leads: PTB-XL as a stand-in, and the real Georgia recordings there are."""
import ast, json, os, subprocess, sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from biosig_nb.data.label_map import statement_of

PROGRAM = Path(sys.executable).with_name("biosig-nb")
ROOT = os.environ.get("BIOSIG_DATA", "")
NEEDED = ("ptb-xl", "challenge-2021")
pytestmark = [pytest.mark.realdata, pytest.mark.skipif(not ROOT or not all((Path(ROOT) / k).is_dir() for k in NEEDED), reason=f"BIOSIG_DATA does not hold {', '.join(NEEDED)}")]


def run(tmp_path, *more):
    command = [PROGRAM, "run", "ptbxl_g12ec", "--source", "real", "--out", tmp_path / "runs", "-p", "protocol=recommended", *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    folder, = (tmp_path / "runs" / "ptbxl_g12ec").iterdir()
    record = json.loads((folder / "run.json").read_text())
    assert record["status"] == "complete" and record["primary"]["verdict"] is None
    return folder, pd.read_parquet(folder / "predictions.parquet")


def test_stand_in_learns_fold_2_and_is_judged_on_fold_9(tmp_path):
    folder, found = run(tmp_path, "-p", "target_percent=100,50", "-p", "small_target=50", "-p", "source_percent=100,50")
    table = pd.read_csv(Path(ROOT) / "ptb-xl/1.0.3/ptbxl_database.csv", index_col="ecg_id").rename(columns={"strat_fold": "fold"})
    test = found[(found.part == "test") & (found.target == "statements")]
    number = test.example.str.rsplit("/").str[-1].astype(int)
    assert set(table.loc[number.unique()].fold) == {9} and set(table.loc[found[found.part == "validation"].example.str.rsplit("/").str[-1].astype(int)].fold) == {2}
    said = table.scp_codes[number].map(ast.literal_eval)
    for k in (c[2:] for c in found if c.startswith("y_")): assert (test[f"y_{k}"].to_numpy() == said.map(lambda d, k=k: k in d).to_numpy()).all()
    assert {"scratch", "full", "full (ptb-xl, 50 %)"} <= set(found[found.target == "statements, 50 %"].arm) and "statements, misread" in set(found.target)
    assert "A stand-in." in (folder / "index.html").read_text()


def test_georgia_as_it_is_there(tmp_path):
    folder, found = run(tmp_path, "-p", "target_set=georgia", "-p", "min_positives=3", "-p", "ablation=False")
    assert {f"y_{k}" for k in statement_of(merge=True).values()} >= {c for c in found if c.startswith("y_")}
    test = found[(found.part == "test") & (found.arm == "full")]
    assert test.example.nunique() == len(list((Path(ROOT) / "challenge-2021/1.0.3/training/georgia").glob("*/*.hea"))) and not test.duplicated("example").any()
    assert np.isfinite(found.filter(like="p_").to_numpy()).all() and "not evidence" in (folder / "index.html").read_text()
