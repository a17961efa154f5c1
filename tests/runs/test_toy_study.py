"""A study of another package: found by its entry point, run, swept, resumed, shown, and nothing else changed for it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from checkout import ROOT, checkout_files, command

TOY = ROOT / "tests" / "toy_study"
PROGRAM = Path(sys.executable).with_name("biosig-nb")


def biosig(*args, path=TOY, **how):
    "Run the command line with the toy study on the path."
    return command(PROGRAM, *args, env={"PYTHONPATH": str(path), "OMP_NUM_THREADS": "1"}, **how)


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    "Folder of runs after a sweep of two seeds."
    folder = tmp_path_factory.mktemp("toy")
    grid = folder / "two.yaml"
    grid.write_text("study: toy\nbase: {protocol: recommended}\ngrid: {seed: [0, 1]}\n")
    biosig("sweep", grid, "--out", folder / "runs", cwd=folder)
    return folder / "runs"


def record(folder):
    return json.loads((folder / "run.json").read_text())


def test_it_is_short_and_alone():
    lines = (TOY / "toy_study.py").read_text().splitlines()
    assert len(lines) <= 60
    assert not (TOY / "report.ipynb").exists()  # the base report serves
    named = [
        p
        for p in checkout_files()
        if re.search(r"toy_study:Toy|study.*\btoy\b", (ROOT / p).read_text(errors="ignore"))
    ]
    assert {p.parts[0] for p in named} == {"tests"}


def test_the_command_line_knows_it(tmp_path):
    said = biosig("run", "toy", "--list-parameters", cwd=tmp_path)
    assert "share of the target's waveform" in said and "demo" in said
    lost = subprocess.run([PROGRAM, "run", "toy"], capture_output=True, text=True, cwd=tmp_path)
    # not there without its package
    assert lost.returncode == 2 and "unknown study 'toy'" in lost.stderr


def test_sweep_index_and_page(swept):
    runs = sorted((swept / "toy").iterdir())
    assert [record(r)["status"] for r in runs] == ["complete", "complete"]
    assert {record(r)["parameters"]["seed"] for r in runs} == {0, 1}
    assert record(runs[0])["data"]["kind"] == "simulated" and record(runs[0])["title"].startswith(
        "Waveforms"
    )
    index = next(
        p for p in (swept / "index.html", swept.parent / "index.html") if p.exists()
    ).read_text()
    assert index.count("toy/smoke-") >= 2
    page = (runs[0] / "index.html").read_text()
    assert 'id="verdict"' in page and 'id="simulated-banner"' in page
    for heading in ("The question", "Data", "Design", "Training", "Provenance"):
        assert re.search(rf"<h2[^>]*>[^<]*{heading}", page), heading
    found = pd.read_parquet(runs[0] / "predictions.parquet")
    assert set(found.arm) == {"scratch", "full", "energy + logistic"}
    assert found[found.arm == "full"][
        ["start", "adaptation", "source"]
    ].drop_duplicates().to_numpy().tolist() == [["source", "full", "waveforms"]]
    listed = biosig("runs", "list", "--out", swept)
    assert listed.count("toy") == 2


def test_it_resumes(swept):
    "An interrupted run computes what is missing, and gives the same bytes."
    run = sorted((swept / "toy").iterdir())[0]
    before = (run / "predictions.parquet").read_bytes()
    jobs = sorted((run / "work" / "jobs").glob("few_patients-full-*.json"))
    kept = {p: p.stat().st_mtime_ns for p in (run / "work" / "jobs").glob("*.json") if p != jobs[0]}
    jobs[0].unlink()
    facts = record(run)
    (run / "run.json").write_text(json.dumps({**facts, "status": "running"}))
    given = facts["parameters"]
    biosig(
        "run",
        "toy",
        "--out",
        swept,
        "-p",
        f"seed={given['seed']}",
        "-p",
        "protocol=recommended",
        cwd=swept,
    )
    assert record(run)["status"] == "complete" and jobs[0].exists()
    assert (run / "predictions.parquet").read_bytes() == before
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    again = subprocess.run(
        [
            PROGRAM,
            "run",
            "toy",
            "--out",
            swept,
            "-p",
            f"seed={given['seed']}",
            "-p",
            "protocol=recommended",
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(TOY)},
    )
    assert again.returncode == 0 and "already there" in again.stderr


def test_the_studys_own_file_is_part_of_the_run(swept, tmp_path):
    "A changed study.yaml or module of the other package is another run."
    code = "import sys; from biosig_nb.runs.execute import plan_run; print(plan_run('toy', {}, sys.argv[1])[-1].name)"
    ask = lambda folder: command(
        sys.executable, "-c", code, tmp_path, env={"PYTHONPATH": str(folder)}
    ).strip()
    assert ask(TOY) == ask(TOY)
    for name, old, new in (
        ("study.yaml", "smallest_gain: 0.02", "smallest_gain: 0.03"),
        ("toy_study.py", "check_every=10", "check_every=20"),
    ):
        copy = tmp_path / name.partition(".")[0]
        shutil.copytree(TOY, copy, ignore=shutil.ignore_patterns("__pycache__"))
        text = (copy / name).read_text()
        assert old in text
        (copy / name).write_text(text.replace(old, new))
        assert ask(copy) != ask(TOY), name


def test_from_the_wheel(installed, tmp_path):
    "The installed package, away from the checkout, finds and runs it too."
    env = {"PYTHONPATH": f"{installed / 'site'}:{TOY}", "BIOSIG_DATA": "", "OMP_NUM_THREADS": "1"}
    command(
        sys.executable,
        installed / "site" / "bin" / "biosig-nb",
        "run",
        "toy",
        "-p",
        "protocol=recommended",
        "--out",
        tmp_path / "runs",
        cwd=tmp_path,
        env=env,
    )
    (run,) = (tmp_path / "runs" / "toy").iterdir()
    assert record(run)["status"] == "complete"
