"""A study of another package: found by its entry point, run, swept, resumed and shown."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from checkout import ROOT, checkout_files, command, once
from fresh import python

TOY = ROOT / "tests" / "toy_study"
PROGRAM = Path(sys.executable).with_name("biosig-nb")


def environment(site):
    "Where the installed package and the toy study are on the path."
    return {"PYTHONPATH": f"{site}{os.pathsep}{TOY}", "BIOSIG_DATA": "", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def biosig(installed):
    "Run the command line of the installed package, away from the checkout."
    site = installed / "site"

    def run(*args, **how):
        program = (sys.executable, site / "bin" / "biosig-nb")
        return command(*program, *args, env=environment(site), **how)

    return run


@pytest.fixture(scope="session")
def swept(tmp_path_factory, biosig):
    "Folder of runs after a sweep of two seeds by the installed package."

    def make(folder):
        grid = folder / "two.yaml"
        grid.write_text("study: toy\nbase: {protocol: recommended}\ngrid: {seed: [0, 1]}\n")
        biosig("sweep", grid, "--out", folder / "runs", cwd=folder)

    return once(tmp_path_factory, "toy", make) / "runs"


def record(folder):
    return json.loads((folder / "run.json").read_text())


def test_it_is_short_and_alone():
    lines = (TOY / "toy_study.py").read_text().splitlines()
    assert len(lines) <= 60
    assert not (TOY / "report.ipynb").exists()  # the base report serves
    texts = {p: (ROOT / p).read_text(errors="ignore") for p in checkout_files()}
    named = [p for p, text in texts.items() if re.search(r"toy_study:Toy|study.*\btoy\b", text)]
    assert {p.parts[0] for p in named} == {"tests"}


def test_the_command_line_knows_it(tmp_path, biosig):
    listed = biosig("run", "toy", "--list-parameters", cwd=tmp_path)
    assert "share of the target's waveform" in listed
    assert "demo" in listed
    # unknown without its package
    without = subprocess.run([PROGRAM, "run", "toy"], capture_output=True, text=True, cwd=tmp_path)
    assert without.returncode == 2
    assert "unknown study 'toy'" in without.stderr


def test_sweep_index_and_page(swept, biosig):
    runs = sorted((swept / "toy").iterdir())
    assert [record(r)["status"] for r in runs] == ["complete", "complete"]
    assert {record(r)["parameters"]["seed"] for r in runs} == {0, 1}
    assert record(runs[0])["data"]["kind"] == "simulated"
    assert record(runs[0])["title"].startswith("Waveforms")
    assert (swept / "index.html").read_text().count("toy/smoke-") >= 2
    page = (runs[0] / "index.html").read_text()
    assert 'id="verdict"' in page
    assert 'id="simulated-banner"' in page
    for heading in ("The question", "Data", "Design", "Training", "Provenance"):
        assert re.search(rf"<h2[^>]*>[^<]*{heading}", page), heading
    found = pd.read_parquet(runs[0] / "predictions.parquet")
    assert set(found.arm) == {"scratch", "full", "energy + logistic"}
    full = found[found.arm == "full"][["start", "adaptation", "source"]]
    assert full.drop_duplicates().to_numpy().tolist() == [["source", "full", "waveforms"]]
    assert biosig("runs", "list", "--out", swept).count("toy") == 2


def test_it_resumes(swept, biosig, installed, tmp_path):
    "An interrupted run computes what is missing, and gives the same bytes."
    swept = shutil.copytree(swept, tmp_path / "runs")
    run = sorted((swept / "toy").iterdir())[0]
    before = (run / "predictions.parquet").read_bytes()
    jobs = sorted((run / "work" / "jobs").glob("few_patients-full-*.json"))
    files = (run / "work" / "jobs").glob("*.json")
    others = {p: p.stat().st_mtime_ns for p in files if p != jobs[0]}
    jobs[0].unlink()
    facts = record(run)
    (run / "run.json").write_text(json.dumps({**facts, "status": "running"}))
    seed = facts["parameters"]["seed"]
    given = ("run", "toy", "--out", swept, "-p", f"seed={seed}", "-p", "protocol=recommended")
    biosig(*given, cwd=swept)
    assert record(run)["status"] == "complete"
    assert jobs[0].exists()
    assert (run / "predictions.parquet").read_bytes() == before
    assert {p: p.stat().st_mtime_ns for p in others} == others
    env = {**os.environ, **environment(installed / "site")}
    program = (sys.executable, installed / "site" / "bin" / "biosig-nb")
    again = subprocess.run([*program, *given], capture_output=True, text=True, env=env)
    assert again.returncode == 0
    assert "already there" in again.stderr


def test_the_studys_own_file_is_part_of_the_run(swept, tmp_path):
    "A changed study.yaml or module of the other package is another run."
    code = """import sys
from biosig_nb.runs.execute import plan_run
print(plan_run('toy', {}, sys.argv[1]).folder.name)"""

    def folder_name(path):
        return python(code, tmp_path, env={"PYTHONPATH": str(path)})

    assert folder_name(TOY) == folder_name(TOY)
    for name, old, new in (
        ("study.yaml", "smallest_gain: 0.02", "smallest_gain: 0.03"),
        ("toy_study.py", "check_every=10", "check_every=20"),
    ):
        copy = tmp_path / name.partition(".")[0]
        shutil.copytree(TOY, copy, ignore=shutil.ignore_patterns("__pycache__"))
        text = (copy / name).read_text()
        assert old in text
        (copy / name).write_text(text.replace(old, new))
        assert folder_name(copy) != folder_name(TOY), name


def test_in_the_checkout(tmp_path):
    "The checkout finds it too."
    env = {"PYTHONPATH": str(TOY)}
    listed = command(PROGRAM, "run", "toy", "--list-parameters", cwd=tmp_path, env=env)
    assert "share of the target's waveform" in listed
