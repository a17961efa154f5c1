"""A study of another package, written here: found, run, swept and listed without a change."""

import json
import os

import numpy as np
import pytest
from fresh import biosig
from tiny import report

from biosig_nb.guards.strict_yaml import read_yaml
from biosig_nb.studies.parameters_cell import parameters_cell
from biosig_nb.studies.study_yaml import common_parameters

YAML = """
title: "Toes: do shoes help?"
question: Do shoes help?
databases: {required: [mitdb]}
own: {kind: signals, columns: {record: its name, label: 0 or 1}}
units: {example: record, group: patient, noun: patients}
parameters:
  n: {type: int, help: how many, min: 1, max: 9, smoke: 1, demo: 2, quick: 3, full: 4}
primary: {target: toes, label: y, metric: auroc, unit: patient, grouping: patient,
  contrast: {arm: full, baseline: scratch}, smallest_gain: 0.02, threshold: 0.2}
"""


@pytest.fixture
def call(tmp_path):
    "The command line where a package `toes` is installed."
    site = tmp_path / "site"
    (site / "toes-0.dist-info").mkdir(parents=True)
    points = "[biosig_nb.studies]\ntoes = toes:Toes\n"
    (site / "toes-0.dist-info" / "entry_points.txt").write_text(points)
    (site / "toes.py").write_text("class Toes: pass\n")
    (site / "study.yaml").write_text(YAML)
    (site / "grids").mkdir()
    (site / "grids" / "sizes.yaml").write_text("study: toes\ngrid: {n: [1, 2]}\n")
    specs = {**common_parameters(), **read_yaml(site / "study.yaml")["parameters"]}
    how = {"study": "toes", "parameters": parameters_cell(specs)}
    report(site / "report.ipynb", "print(P['n'], P['target'])", **how)
    path = f"{site}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    env = {"PYTHONPATH": path, "BIOSIG_DATA": ""}

    def run(*args):
        return tuple(biosig(*args, cwd=tmp_path, env=env))

    return run


def records(tmp_path):
    "Contents of all run.json."
    paths = sorted((tmp_path / "runs" / "toes").glob("*/run.json"))
    return [json.loads(path.read_text()) for path in paths]


def run_of(call, *args):
    "Standard error of a run that must succeed."
    code, _, err = call("run", "toes", "--out", "runs", *args)
    assert code == 0, err
    return err


def test_it_runs_sweeps_and_is_listed(call, tmp_path):
    run_of(call, "--preset", "demo")
    (record,) = records(tmp_path)
    assert (record["status"], record["title"]) == ("complete", "Toes: do shoes help?")
    assert record["parameters"]["n"] == 2
    assert record["data"]["databases"] == ["mitdb"]
    code, _, err = call("sweep", "toes/sizes", "--out", "runs", "--preset", "demo")
    assert code == 0, err
    assert "1 of 2 runs are there already" in err
    assert sorted(r["parameters"]["n"] for r in records(tmp_path)) == [1, 2]
    assert call("runs", "list", "--out", "runs")[1].count("toes\tdemo-") == 2
    page = (tmp_path / "runs" / "index.html").read_text()
    assert page.count('data-study="toes"') == 2
    assert "Toes" in next((tmp_path / "runs" / "toes").glob("*/index.html")).read_text()


def test_a_users_folder_counts_by_content_and_its_path_appears_nowhere(call, tmp_path):
    ward = tmp_path / "annas-disk" / "ward7"
    ward.mkdir(parents=True)
    for k in range(24):
        wave = np.random.default_rng(k).standard_normal((2, 200)).astype("float32")
        np.save(ward / f"foot{k}.npy", wave)
    rows = [f"foot{k},{k % 2}" for k in range(24)]
    (ward / "records.csv").write_text("\n".join(["record,label", *rows]) + "\n")
    settings = "fs: 100\nunit: g\nchannels: [x, y]\n"
    (ward / "biosig.yaml").write_text(settings)
    # relative: as seen from here, not from the kernel
    given = ("--target", "annas-disk/ward7", "--data", "simulated")
    run_of(call, *given)
    (record,) = records(tmp_path)
    assert (record["data"]["kind"], record["data"]["name"]) == ("own", "ward7")
    assert record["parameters"]["target"] == ""
    call("runs", "export", "all.csv", "--out", "runs", "--runs")
    runs = tmp_path / "runs"
    shared = [p for kind in ("json", "ipynb", "html") for p in runs.rglob(f"*.{kind}")]
    assert len(shared) >= 4
    for path in (*shared, tmp_path / "all.csv"):
        text = path.read_text()
        assert "annas-disk" not in text, path
        assert str(tmp_path) not in text, path
    notebook = next(runs.glob("toes/*/notebook.ipynb")).read_text()
    assert 'target = ""' in notebook.replace('\\"', '"')
    page = next(runs.glob("toes/*/index.html")).read_text()
    assert 'id="simulated-banner"' not in page
    assert "comes from a patient" not in page
    assert "pre-training are simulated" in page
    assert "already there" in run_of(call, *given)
    (ward / "biosig.yaml").write_text(settings + "note: left feet\n")
    run_of(call, *given)
    assert len(records(tmp_path)) == 2, "another content, another run"
