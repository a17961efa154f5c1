"""The report on cardiotocograms: CTU-UHB as the source, a user's own folder as the target."""

import json
import os
from pathlib import Path

import pandas as pd
import pytest
from fresh import biosig

from biosig_nb.data.simulate.ctg_site import simulate_site

ROOT = os.environ.get("BIOSIG_DATA", "")
SMALL = {  # the smallest run that trains every kind of arm
    "protocol": "recommended",
    "arms": "scratch,lora",
    "ranks": "4",
    "max_updates": 20,
    "pretrain_updates": 20,
    "n_random_features": 84,
    "n_resamples": 100,
    "minutes": 20,
}


def run(out, *more, **given):
    "A run of the study; the finished process."
    settings = [text for k, v in given.items() for text in ("-p", f"{k}={v}")]
    return biosig("run", "ctg_ne", "--out", out, *more, *settings)


@pytest.mark.realdata
@pytest.mark.skipif(
    not ROOT or not (Path(ROOT) / "ctu-uhb-ctgdb").is_dir(),
    reason="BIOSIG_DATA does not hold ctu-uhb-ctgdb",
)
def test_own_deliveries_beside_the_real_database(tmp_path):
    mine = simulate_site(tmp_path / "mine", n_records=30, minutes=21)
    done = run(tmp_path / "runs", "--target", mine, **SMALL)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs" / "ctg_ne").iterdir()
    record = json.loads((folder / "run.json").read_text())
    assert record["status"] == "complete"
    assert record["primary"]["declared"] is True  # a question of its own, no variant
    assert record["data"]["databases"] == ["ctu-uhb-ctgdb"]
    found = pd.read_parquet(folder / "predictions.parquet").query("part == 'test'")
    target = found[found.target == "mine"]
    assert set(target.group) == {f"own/patient {k:03d}" for k in range(1, 31)}
    names = pd.read_csv(folder / "work" / "own_names.csv").query("kind == 'patient'")
    assert [n.rsplit("/", 1)[-1] for n in names.name] == [f"mother{k:03d}" for k in range(1, 31)]
    for path in folder.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
        if path.is_file() and "work" not in path.relative_to(folder).parts:
            content = path.read_bytes()
            assert b"mother0" not in content, path
            assert str(mine).encode() not in content, path
    assert not target.p_label.isna().any()
    assert set(found.target) == {"mine"}, "no trial on public recordings"
    page = (folder / "index.html").read_text()
    assert 'id="verdict"' in page


def test_a_folder_without_a_table_is_refused(tmp_path):
    done = run(tmp_path / "runs", "--target", tmp_path)
    assert done.returncode == 2
    assert "records.csv" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())  # nothing was simulated or written
