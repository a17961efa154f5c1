"""A study of another package, made up here: found, run, swept and listed, with nothing of ours changed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import report

from biosig_nb.studies.folders import common_parameters, parameters_cell, read_yaml

PROGRAM = Path(sys.executable).with_name("biosig-nb")
YAML = """
title: "Toes: do shoes help?"
question: Do shoes help?
databases: {required: [mitdb]}
own: {kind: feet, parameter: folder, when: {target_set: [own]}, columns: {foot: its name}}
units: {example: record, group: patient, noun: patients}
parameters:
  target_set: {type: str, help: what is evaluated on, choices: [simulated, own], smoke: simulated, quick: simulated, full: simulated}
  folder: {type: path, help: feet of your own, smoke: "", quick: "", full: ""}
  n: {type: int, help: how many, min: 1, max: 9, smoke: 1, demo: 2, quick: 3, full: 4}
primary: {target: toes, label: y, metric: auroc, unit: patient, grouping: patient, contrast: {arm: full, baseline: scratch}, smallest_gain: 0.02, threshold: 0.2}
"""


@pytest.fixture
def call(tmp_path):
    "The command line where a package `toes` is installed."
    site = tmp_path / "site"
    (site / "toes-0.dist-info").mkdir(parents=True)
    (site / "toes-0.dist-info" / "entry_points.txt").write_text(
        "[biosig_nb.studies]\ntoes = toes:Toes\n"
    )
    (site / "toes.py").write_text("class Toes: pass\n")
    (site / "study.yaml").write_text(YAML)
    (site / "grids").mkdir()
    (site / "grids" / "sizes.yaml").write_text("study: toes\ngrid: {n: [1, 2]}\n")
    specs = {**common_parameters(), **read_yaml(site / "study.yaml")["parameters"]}
    report(
        site / "report.ipynb",
        "print(P['n'], P['folder'])",
        study="toes",
        parameters=parameters_cell(specs),
    )
    env = {
        **os.environ,
        "PYTHONPATH": f"{site}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        "BIOSIG_DATA": "",
    }

    def run(*args):
        done = subprocess.run(
            [PROGRAM, *map(str, args)],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=300,
        )
        return done.returncode, done.stdout, done.stderr

    return run


def records(tmp_path):
    return [
        json.loads(p.read_text()) for p in sorted((tmp_path / "runs" / "toes").glob("*/run.json"))
    ]


def test_it_runs_sweeps_and_is_listed(call, tmp_path):
    code, out, err = call("run", "toes", "--preset", "demo", "--out", "runs")
    assert code == 0, err
    (record,) = records(tmp_path)
    assert (
        record["status"],
        record["title"],
        record["parameters"]["n"],
        record["data"]["databases"],
    ) == ("complete", "Toes: do shoes help?", 2, ["mitdb"])
    code, out, err = call("sweep", "toes/sizes", "--out", "runs", "--preset", "demo")
    assert code == 0 and "1 of 2 runs are there already" in err, err
    assert sorted(r["parameters"]["n"] for r in records(tmp_path)) == [1, 2]
    assert call("runs", "list", "--out", "runs")[1].count("toes\tdemo-") == 2
    page = (tmp_path / "runs" / "index.html").read_text()
    assert (
        page.count('data-study="toes"') == 2
        and "Toes" in next((tmp_path / "runs" / "toes").glob("*/index.html")).read_text()
    )
    module = tmp_path / "site" / "toes.py"
    module.write_text(module.read_text() + "N = 3\n")
    assert (
        call("run", "toes", "--preset", "demo", "--out", "runs")[0] == 0
        and len(records(tmp_path)) == 3
    ), "its code is in the key"


def test_a_folder_of_ones_own_leaves_no_trace_of_its_place(call, tmp_path):
    ward = tmp_path / "annas-disk" / "ward7"
    ward.mkdir(parents=True)
    (ward / "feet.csv").write_text("foot\nleft\n")
    # relative: as seen from here, not from the kernel
    given = ("-p", "target_set=own", "-p", "folder=annas-disk/ward7", "--out", "runs")
    code, out, err = call("run", "toes", *given)
    assert code == 0, err
    (record,) = records(tmp_path)
    assert (record["data"]["kind"], record["data"]["name"], record["parameters"]["folder"]) == (
        "own",
        "ward7",
        "",
    )
    call("runs", "export", "all.csv", "--out", "runs", "--runs")
    call("runs", "list", "--out", "runs")
    shared = [
        *(tmp_path / "runs").rglob("*.json"),
        *(tmp_path / "runs").rglob("*.ipynb"),
        *(tmp_path / "runs").rglob("*.html"),
        tmp_path / "all.csv",
    ]
    assert len(shared) >= 5 and not [
        p for p in shared if "annas-disk" in p.read_text() or str(tmp_path) in p.read_text()
    ]
    assert 'folder = "ward7"' in next(
        tmp_path.glob("runs/toes/*/notebook.ipynb")
    ).read_text().replace('\\"', '"')
    page = next(tmp_path.glob("runs/toes/*/index.html")).read_text()
    assert (
        'id="simulated-banner"' not in page
        and "comes from a patient" not in page
        and "pre-training are simulated" in page
    )
    assert "already there" in call("run", "toes", *given)[2]
    (ward / "feet.csv").write_text("foot\nright\n")
    assert call("run", "toes", *given)[0] == 0 and len(records(tmp_path)) == 2, (
        "another content, another run"
    )
