"""Runs on a user's own recordings: what they say, and what no file of them may hold."""

import json

import numpy as np
import pandas as pd
import pytest
from fresh import biosig
from predicted import largest_difference

FAMILY = ("Mustermann", "Okonkwo", "Lindqvist", "Haddad")
PRIVATE = (*FAMILY, "PID-77", "klinik-am-see", "station_7b", "Dr. Sommer", "Zimmer 12")
SMALL = {  # the smallest run with every kind of arm, comparator and control
    "arms": "scratch,full",
    "n_random_features": 84,
    "n_resamples": 100,
    "sim_records": 4,
    "sim_minutes": 0.5,
}


def recording(seed, case, fs=250, seconds=8):
    "An ECG of 8 s (mV): beats with a broad QRS where it is a case."
    rng = np.random.default_rng(seed)
    t = np.arange(seconds * fs) / fs
    beats = np.arange(0.4, seconds, 0.75 + 0.02 * (seed % 5))[:, None]
    wide = 0.05 if case else 0.02
    qrs = np.exp(-(((t - beats) / wide) ** 2)).sum(axis=0)
    twave = 0.2 * np.exp(-(((t - beats - 0.3) / 0.07) ** 2)).sum(axis=0)
    return (qrs + twave + 0.02 * rng.standard_normal(len(t))).round(4)


def folder_of(path, n=16):
    "A user's folder with telling names: of files, patients, sites, and in further columns."
    path.mkdir(parents=True)
    rows = []
    for k in range(n):
        name = f"{FAMILY[k % 4]}_{k:02d}"
        pd.DataFrame({"II": recording(k, k % 2)}).to_csv(path / f"{name}.csv", index=False)
        patient = f"{FAMILY[k % 4]}, PID-77{k:02d}"
        rows.append((name, k % 2, patient, 50 + k, "f", f"Zimmer 12{k % 2}", "Dr. Sommer"))
    columns = ["record", "label", "patient", "age", "sex", "site", "doctor"]
    pd.DataFrame(rows, columns=columns).to_csv(path / "records.csv", index=False)
    settings = "fs: 250\nunit: mV\nlabel: block\nmeaning: a wide QRS\nlicence: for us alone\n"
    (path / "biosig.yaml").write_text(settings)
    return path


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    "One run on simulated beats and own recordings: (process, run folder, folder of all)."
    base = tmp_path_factory.mktemp("own")
    ward = folder_of(base / "klinik-am-see" / "station_7b")
    settings = [text for k, v in SMALL.items() for text in ("-p", f"{k}={v}")]
    own = ("--target", ward, "--name", "Cohort A", "--question", "Is a block *seen* earlier?")
    where = ("--data", "simulated", "--out", base / "runs", "--save-models")
    process = biosig("run", "mitbih_ptb", *own, *where, *settings)
    assert process.returncode == 0, process.stderr
    (folder,) = (f.parent for f in (base / "runs" / "mitbih_ptb").glob("*/run.json"))
    return process, folder, base


def contents(path):
    "What a file says: its bytes, and the decoded table of a parquet file."
    raw = path.read_bytes()
    yield raw
    if path.suffix == ".parquet":
        yield pd.read_parquet(path).to_csv().encode()


def test_no_file_holds_a_name_or_a_path(done):
    _, folder, base = done
    words = [w.encode() for w in (*PRIVATE, str(base))]
    shared = [p for p in folder.rglob("*") if p.is_file() and "work" not in p.parts]
    shared.append(base / "runs" / "index.html")
    assert {p.suffix for p in shared} >= {".html", ".csv", ".parquet", ".json", ".ipynb", ".md"}
    for path in shared:
        for content in contents(path):
            assert not [w for w in words if w in content], path
    assert not (folder / "groups.parquet").exists()  # age, sex and site stay in work/
    assert (folder / "work" / "groups.parquet").exists()


def test_the_key_stays_with_its_owner(done):
    _, folder, _ = done
    key = folder / "work" / "own_names.csv"
    t = pd.read_csv(key)
    assert set(t.kind) == {"recording", "patient", "site"}
    assert t.name.str.contains("Mustermann").sum() == 8  # four recordings and their patients
    for path in (folder, *folder.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_run_of_its_own_kind(done):
    _, folder, base = done
    record = json.loads((folder / "run.json").read_text())
    assert record["title"] == "Cohort A: does pre-training help?"
    data = record["data"]
    assert (data["kind"], data["name"], data["databases"]) == ("own", "Cohort A", ["mitdb"])
    assert (data["simulated_target"], data["simulated_source"]) == (False, True)
    assert record["parameters"]["target"] == ""
    primary = record["primary"]
    assert primary["declared"] is True, "no exploratory variant of the public question"
    assert "declaration.json" in primary["notes"]["not_verifiably_declared"]
    declared = json.loads((folder / "declaration.json").read_text())
    assert (declared["hash"], declared["label"]) == (primary["hash"], "block")
    found = pd.read_parquet(folder / "predictions.parquet")
    assert set(found.target) == {"Cohort A"}
    assert found.group.nunique() == 16
    index = (base / "runs" / "index.html").read_text()
    assert "Cohort A" in index


def test_the_page_is_about_their_data(done):
    _, folder, _ = done
    page = (folder / "index.html").read_text()
    for text in (
        "Cohort A: does pre-training help?",
        "Is a block *seen* earlier?",
        "The label <em>block</em>: a wide QRS.",
        "16 recordings of 16 patients",
        "for us alone",
        "the recordings of <em>mitdb</em> are simulated",
        "the recordings of <em>Cohort A</em> are your own",
        "<details><summary>Recordings of the pre-training: mitdb (simulated)</summary>",
    ):
        assert text in page, text
    assert 'id="simulated-banner"' not in page
    assert 'id="simulated-note"' in page
    assert 'id="examples-note"' not in page
    assert "Known answer of this simulation" not in page  # the target is nobody's simulation
    assert "protocol=both" not in page
    assert not list((folder / "figures").glob("examples*"))


def test_the_same_recordings_elsewhere_are_the_same_run(done):
    process, folder, base = done
    moved = folder_of(base / "moved")
    settings = [text for k, v in SMALL.items() for text in ("-p", f"{k}={v}")]
    own = ("--target", moved, "--name", "Cohort A", "--question", "Is a block *seen* earlier?")
    how = ("--data", "simulated", "--out", base / "runs", "--save-models")
    again = biosig("run", "mitbih_ptb", *own, *how, *settings)
    assert again.returncode == 0, again.stderr
    assert "already there" in again.stderr


def test_the_run_says_first_what_it_will_do(done):
    process, _, _ = done
    for text in ("no problem found", "what mitbih_ptb will do", "folds: 2", "power:", "memory:"):
        assert text in process.stderr, text


def test_its_networks_predict_a_folder_as_they_did_in_the_run(done, tmp_path):
    _, folder, base = done
    ward = folder_of(tmp_path / "ward")
    worst, n = largest_difference(folder, ward, tmp_path)
    assert n > 16, "beats, not recordings"
    assert worst < 1e-6
    table = pd.read_csv(ward / "records.csv")
    table.drop(columns="label").to_csv(ward / "records.csv", index=False)
    said = biosig("predict", folder, ward, "--out", base / "runs", "--save", tmp_path / "p.csv")
    assert said.returncode == 0, said.stderr
    assert "limit: Trained and tested on" in said.stderr
    lines = (tmp_path / "p.csv").read_text().splitlines()
    assert lines[0].startswith("# Trained and tested on")
    assert "record,p_block,spread_block" in lines


@pytest.mark.parametrize(
    "change, message",
    [
        ({}, "too few patients with a label (no block 2, block 2); 2 folds need 4 of each"),
        ({"fs: 250\n": ""}, "sampling rate"),
    ],
)
def test_faults_are_found_before_a_run_folder_is_made(change, message, tmp_path):
    ward = folder_of(tmp_path / "ward", n=4)
    settings = (ward / "biosig.yaml").read_text()
    for old, new in change.items():
        settings = settings.replace(old, new)
    (ward / "biosig.yaml").write_text(settings)
    how = ("--target", ward, "--data", "simulated", "--out", tmp_path / "runs")
    failed = biosig("run", "mitbih_ptb", *how)
    assert (failed.returncode, failed.stderr.count("\n")) == (2, 1), failed.stderr
    assert message in failed.stderr
    assert not (tmp_path / "runs").exists()
