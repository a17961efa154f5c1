"""A run's key covers everything that is read, by content; all that is read is declared."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from checkout import ROOT, once
from fresh import biosig, python

import biosig_nb
from biosig_nb.data.catalog import DATABASES
from biosig_nb.data.simulate.ctg_site import simulate_site
from biosig_nb.data.simulate.phantom import simulate_phantom
from biosig_nb.data.simulate.world import simulate_world
from biosig_nb.errors import DataError
from biosig_nb.runs.execute import plan_run
from biosig_nb.runs.identity import code_fingerprint
from biosig_nb.studies.conditions import databases_of
from biosig_nb.studies.folders import find_studies
from biosig_nb.studies.parameters import resolve
from biosig_nb.studies.parameters_cell import report_of
from biosig_nb.studies.study import Cohorts, Study, find_data
from biosig_nb.studies.study_yaml import load_config

REAL = os.environ.get("BIOSIG_DATA", "")


def key(study, out, **given):
    "Name of the folder of a run."
    return plan_run(study, given, out)[-1].name


def other_label(table):
    "Change one label of a table, at equal size."
    lines = table.read_text().splitlines(keepends=True)
    at = lines[0].strip().split(",").index("label")
    cells = lines[1].rstrip("\n").split(",")
    cells[at] = "1" if cells[at] == "0" else "0"
    before = table.stat().st_size
    table.write_text("".join([lines[0], ",".join(cells) + "\n", *lines[2:]]))
    assert table.stat().st_size == before


@pytest.fixture
def deliveries(tmp_path):
    return simulate_site(tmp_path / "mine", n_records=20, minutes=11)


def test_a_users_own_folder_is_part_of_the_key(deliveries, tmp_path):
    given = dict(target=str(deliveries), data="simulated")
    first = key("ctg_ne", tmp_path, **given)
    assert key("ctg_ne", tmp_path, **given) == first
    other_label(deliveries / "records.csv")
    second = key("ctg_ne", tmp_path, **given)
    (deliveries / "biosig.yaml").write_text("note: another year\n")
    third = key("ctg_ne", tmp_path, **given)
    assert len({first, second, third}) == 3
    shutil.move(deliveries, tmp_path / "moved")
    moved = {**given, "target": str(tmp_path / "moved")}
    assert key("ctg_ne", tmp_path, **moved) == third, "the location does not count"


def test_a_damaged_recording_of_ones_own_is_refused_before_the_run(deliveries, tmp_path):
    signal = next(deliveries.glob("*.dat"))
    raw = bytearray(signal.read_bytes())
    raw[100] ^= 1
    signal.write_bytes(raw)  # a sample, at equal size
    with pytest.raises(DataError, match="the checksum of channel"):
        key("ctg_ne", tmp_path, target=str(deliveries), data="simulated")


def test_own_scans_too(tmp_path):
    scans = simulate_phantom(tmp_path, 0, 8, name="scans")
    given = dict(target=str(scans))
    first = key("fetal_head", tmp_path, **given)
    other_label(scans / "labels.csv")
    assert key("fetal_head", tmp_path, **given) != first


@pytest.mark.parametrize(
    "name", ["data/databases/g12ec_labels.csv", "evaluate/inference/coverage.csv"]
)
def test_data_of_the_package_are_part_of_the_key(name, tmp_path):
    copy, ignore = tmp_path / "biosig_nb", shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(biosig_nb.__file__).parent, copy, ignore=ignore)
    report = report_of("ptbxl_g12ec")
    before = code_fingerprint(report, "ptbxl_g12ec", copy)
    assert before == code_fingerprint(report, "ptbxl_g12ec")
    text = (copy / name).read_text()
    (copy / name).write_text(text.replace("1", "2", 1))
    assert code_fingerprint(report, "ptbxl_g12ec", copy) != before


def test_a_relative_folder_is_resolved_once(deliveries, tmp_path, monkeypatch):
    monkeypatch.chdir(deliveries.parent)
    p = resolve("ctg_ne", dict(target=deliveries.name, data="simulated"))
    assert p["target"] == str(deliveries.resolve())
    monkeypatch.chdir("/")
    keys = [
        key("ctg_ne", tmp_path, data="simulated", target=str(f)) for f in (p["target"], deliveries)
    ]
    assert keys[0] == keys[1]


OPENED = """
import json, os, sys
seen = {}
root = ["/nowhere/"]
def hook(event, args):
    if event == "open" and isinstance(args[0], (str, bytes)):
        path = os.path.realpath(os.fsdecode(args[0]))
        if path.startswith(root[0]): seen.add(path[len(root[0]):].split(os.sep)[0])
sys.addaudithook(hook)
from pathlib import Path
from biosig_nb.studies.parameters import resolve
from biosig_nb.studies.study import describe, find_data
from biosig_nb.studies.folders import study_class
source, work, *names = sys.argv[1:]
for name in names:
    p = resolve(name, {"data": source, "protocol": "both"})
    study = study_class(name)(name)
    data = find_data(study, p, Path(work))
    seen, root[0] = set(), os.path.realpath(data.root) + os.sep
    describe(study, p, data)
    found = {"seen": seen, "opened": data.opened, "declared": data.declared}
    root[0] = "/nowhere/"
    print(json.dumps({"name": name} | {k: sorted(v) for k, v in found.items()}))
"""


def opened(source, names, folder):
    """Name of a study -> its databases.

    `seen`: read, as the operating system says; `opened`: those it asked for; `declared`.
    """
    env = {"BIOSIG_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    printed = python(OPENED, source, folder, *names, env=env)
    found = [json.loads(line) for line in printed.splitlines() if line.startswith('{"name"')]
    return {f["name"]: f for f in found}


@pytest.fixture(scope="session")
def opened_simulated(tmp_path_factory):
    "The databases of each study where recordings are simulated, read in one process."

    def make(folder):
        found = opened("simulated", find_studies(ours=True), folder)
        (folder / "opened.json").write_text(json.dumps(found))

    return json.loads((once(tmp_path_factory, "opened", make) / "opened.json").read_text())


@pytest.mark.parametrize("name", find_studies(ours=True))
def test_declared_catalogued_and_opened_are_the_same(name, opened_simulated):
    found = opened_simulated[name]
    assert set(found["declared"]) <= set(DATABASES)
    assert found["opened"] == found["declared"]
    assert {s for s in found["seen"] if s in DATABASES} == set(found["declared"])


def has_databases(name):
    "Whether a study has public recordings at all."
    return any(load_config(name)["databases"].values())


@pytest.mark.realdata
@pytest.mark.skipif(not REAL, reason="BIOSIG_DATA is not set")
@pytest.mark.parametrize("name", [n for n in find_studies(ours=True) if has_databases(n)])
def test_real_recordings_too(name, tmp_path):
    config = load_config(name)
    declared = databases_of(config, resolve(name, {"data": "real"}))
    if missing := [d for d in declared if not (Path(REAL) / d).is_dir()]:
        pytest.skip(f"BIOSIG_DATA does not hold {', '.join(missing)}")
    found = opened("real", [name], tmp_path)[name]
    assert found["opened"] == sorted(declared)
    assert set(found["seen"]) == set(declared)


def test_missing_data_are_an_error_before_anything_is_made(tmp_path):
    root, out = tmp_path / "nothing", tmp_path / "runs"
    done = biosig(
        "run", "fetal_head", "--data", "real", "--data-root", root, "--out", out, cwd=ROOT
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "hc18" in done.stderr
    assert not out.exists()


CONFIG = {
    "title": "",
    "question": "",
    "databases": {"required": ["mitdb"], "optional": {}},
    "own": None,
    "refused": [],
    "primary": {},
}


def test_two_runs_simulate_and_read_once(tmp_path, monkeypatch):
    "Runs of a sweep share simulated recordings, cohorts and tables of features."
    monkeypatch.setenv("BIOSIG_CACHE", str(tmp_path / "cache"))
    calls = []

    def read_world(folder, seed):
        calls.append("read")
        return simulate_world(seed=seed)[1]

    class Counted(Study):
        def simulate(self, p, root):
            calls.append("simulate")
            (root / "mitdb" / "1.0.0").mkdir(parents=True)
            (root / "mitdb" / "1.0.0" / "100.dat").write_bytes(bytes(p["seed"]))

        def cohorts(self, p, data):
            c = data.cohort(read_world, "mitdb", seed=p["seed"])

            def energy():
                calls.append("features")
                return pd.DataFrame({"energy": np.asarray(c.signals).std(axis=(1, 2))})

            return Cohorts(target=c, energy=data.table(energy, c, features="energy"))

    study, made = Counted("counted", CONFIG), []
    for run, seed in (("a", 1), ("b", 1), ("c", 2)):
        p = {"data": "simulated", "seed": seed, "data_root": ""}
        made.append(study.cohorts(p, find_data(study, p, tmp_path / run / "work")))
        assert not (tmp_path / run / "work" / "cache").exists()
    assert calls == 2 * ["simulate", "read", "features"]
    first, second, _ = made
    assert np.array_equal(first.target.signals[:], second.target.signals[:])
    assert first.energy.equals(second.energy)
