"""The package as others install it: everything is in the wheel, and a report comes out of it away
from the checkout.
"""

import json
import sys
from pathlib import Path

from checkout import ROOT, checkout_files, command


def test_wheel_holds_every_module_and_asset(installed):
    files = checkout_files()
    wanted = {p for p in files if p.parts[0] == "biosig_nb" and p.suffix == ".py"}
    wanted |= {
        p for p in files if p.parts[0] == "biosig_nb" and p.suffix in (".csv", ".yaml", ".json")
    }
    wanted |= {
        Path("biosig_nb/assets", *p.parts[1:])
        for p in files
        if p.parts[:2] == ("nbs", "studies")
        and (p.suffix in (".yaml", ".txt") or p.name == "report.ipynb")
    }
    weights = {Path("biosig_nb/assets", p) for p in files if p.parts[0] == "weights"}
    assert any(p.suffix == ".safetensors" for p in weights)
    wanted |= weights
    assert (
        sum(p.name == "study.yaml" for p in wanted) >= 5
        and Path("biosig_nb/assets/studies/common.yaml") in wanted
    )
    missing = [str(p) for p in sorted(wanted) if not (installed / "site" / p).is_file()]
    assert not missing, "pyproject.toml leaves these out of the wheel"


def test_installed_package_is_used_and_finds_its_own_assets(installed, tmp_path):
    code = """import biosig_nb
from biosig_nb.studies.folders import find_asset, find_studies, grids_of
from biosig_nb.studies.study_yaml import load_config
print(biosig_nb.__file__, find_asset("studies/common.yaml"), *find_studies(ours=True).values())
for study in find_studies(ours=True): load_config(study); print(*grids_of(study).values())"""
    for path in command(
        sys.executable, "-c", code, cwd=tmp_path, env={"PYTHONPATH": str(installed / "site")}
    ).split():
        assert Path(path).is_relative_to(installed / "site")


def test_the_key_of_a_run_is_the_same_in_a_checkout_and_from_the_wheel(installed, tmp_path):
    code = """from biosig_nb.runs.execute import plan_run
from biosig_nb.studies.folders import find_studies
print(*(plan_run(study, {}, "runs")[-1].name for study in find_studies(ours=True)))"""
    keys = [
        command(sys.executable, "-c", code, cwd=tmp_path, env={"PYTHONPATH": str(path)})
        for path in (ROOT, installed / "site")
    ]
    assert keys[0] == keys[1]


def test_smoke_run_from_the_wheel_is_complete(smoke_site):
    (run,) = (smoke_site / "runs" / "mitbih_ptb").iterdir()
    record = json.loads((run / "run.json").read_text())
    assert (
        record["status"] == "complete"
        and record["preset"] == "smoke"
        and record["data"]["kind"] == "simulated"
    )
    for name in (
        "predictions.parquet",
        "metrics.csv",
        "comparisons.csv",
        "splits.json",
        "notebook.ipynb",
        "index.html",
    ):
        assert (run / name).is_file(), name
