"""Shipped weights are whole, their page says what their cards say, and nothing leaks through."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from checkout import ROOT
from fresh import biosig

from biosig_nb.api import compare
from biosig_nb.data.databases.ptb_xl import ptbxl_records
from biosig_nb.errors import ConfigError, LeakageError
from biosig_nb.evaluate.metric_registry import metric_title
from biosig_nb.learn.input_spec import InputSpec
from biosig_nb.learn.trained_hashes import content_hashes, write_hashes
from biosig_nb.learn.weights import save_body
from biosig_nb.models.builders import build
from biosig_nb.runs.execute import plan_run
from biosig_nb.runs.identity import data_facts
from biosig_nb.shipped import SHIPPED
from biosig_nb.signals.ecg12 import LEADS
from biosig_nb.studies.parameters import resolve
from biosig_nb.studies.starts import check_start_unseen, known_hashes
from biosig_nb.weights import find_weights, list_weights, shipped_folder
from biosig_nb.weights_check import TOLERANCE, body_outputs, problems_of
from biosig_nb.weights_page import page_text

NAMES = sorted(path.stem for path in shipped_folder().glob("*.safetensors"))
MOST_MB = 20


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_file_gives_its_stored_prediction(name):
    w = find_weights(str(shipped_folder() / f"{name}.safetensors"))
    assert problems_of(w) == []
    kept = json.loads((shipped_folder() / f"{name}.check.json").read_text())
    found, wanted = body_outputs(w, kept["seed"]), np.array(kept["outputs"])
    assert np.abs(found - wanted).max() <= TOLERANCE * max(1, np.abs(wanted).max())
    assert np.ptp(wanted) > 0.01  # a body that says the same of everything would pass
    assert w.file.stat().st_size < MOST_MB * 1e6
    assert known_hashes(w)


def test_each_shipped_file_has_a_recipe():
    assert NAMES
    assert set(NAMES) <= set(SHIPPED)
    for name in NAMES:
        card = find_weights(str(shipped_folder() / f"{name}.safetensors")).card
        assert card["licence"] == SHIPPED[name].licence
        assert card["pretrained_on"]["databases"] == [SHIPPED[name].database]
        assert all(one["lo"] <= one["estimate"] <= one["hi"] for one in card["results"])
        assert {one["on"] for one in card["results"]} == {"test"}


def test_the_page_of_the_weights_says_what_their_cards_say():
    page = (ROOT / "weights" / "README.md").read_text(encoding="utf-8")
    assert page == page_text(ROOT / "weights"), "biosig_nb.weights_page.write_page('weights')"
    for name in NAMES:
        card = json.loads((ROOT / "weights" / f"{name}.json").read_text(encoding="utf-8"))
        (row,) = (line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        kind = "macro_f1" if len(card["labels"]) > 2 else card["results"][0]["metric"]
        first = next(r for r in card["results"] if r["metric"] == kind)
        numbers = [f"{first[k]:.2f}" for k in ("estimate", "lo", "hi")]
        assert all(fact in row for fact in (card["licence"], metric_title(kind), *numbers)), row


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    "A folder of small weights for every kind of input: the folder."
    folder = tmp_path_factory.mktemp("weights")
    twelve = InputSpec(100.0, tuple(LEADS), 2.5, scale="record", longer="windows")
    inputs = {
        "twelve": ("xresnet1d18", {"n_leads": 12}, twelve.as_dict(), [12, 250]),
        "beats": ("beat_cnn", {}, {"kind": "window range", "fs": 250, "length": 374}, [1, 374]),
        "ctg": ("cnn_lstm", {}, {"kind": "gaps to mask", "fs": 1, "minutes": 30}, [4, 1800]),
    }
    for name, (builder, options, given, shape) in inputs.items():
        torch.manual_seed(0)
        card = {"builder": {"name": builder, "options": options}, "input": given}
        card |= {"input_shape": shape, "licence": "CC0", "pretrained_on": {"databases": ["x"]}}
        save_body(build(builder, 1, options), folder / f"{name}.safetensors", card)
    return folder


REFUSED = (
    ("icentia_af", "twelve", "icentia_af cannot feed it: it reads 12 lead(s), the target has no"),
    ("mitbih_ptb", "twelve", "mitbih_ptb cannot feed it: it reads 'input spec'"),
    ("ptbxl_g12ec", "ctg", "ptbxl_g12ec cannot feed it: it reads 'gaps to mask'"),
    ("ctg_ne", "beats", "ctg_ne cannot feed it: it reads 'window range'"),
    ("fetal_head", "beats", "fetal_head takes no weights: it reads image networks by name"),
)


@pytest.mark.parametrize("study, name, message", REFUSED)
def test_weights_that_a_target_cannot_feed_are_refused_before_reading(
    study, name, message, made, tmp_path, monkeypatch
):
    monkeypatch.setenv("BIOSIG_WEIGHTS", str(made))
    given = {"start": [name], "data": "real", "data_root": str(tmp_path / "nothing")}
    with pytest.raises(ConfigError, match=re.escape(message)):
        data_facts(study, resolve(study, given))


def test_no_source_database_is_needed(made, tmp_path, monkeypatch):
    monkeypatch.setenv("BIOSIG_WEIGHTS", str(made))
    facts = data_facts("mitbih_ptb", resolve("mitbih_ptb", {"start": ["beats"]}))
    assert facts["databases"] == ["ptbdb"]
    assert not facts["simulated_source"]


def test_the_key_of_a_run_holds_the_content_of_the_weights(made, tmp_path, monkeypatch):
    monkeypatch.setenv("BIOSIG_WEIGHTS", str(made))
    how = {"start": ["beats"]}
    first = plan_run("mitbih_ptb", how, tmp_path).folder.name
    assert plan_run("mitbih_ptb", {}, tmp_path).folder.name != first
    by_file = {"start": [str(made / "beats.safetensors")]}
    assert plan_run("mitbih_ptb", by_file, tmp_path).folder.name == first
    card = json.loads((made / "beats.json").read_text())
    (made / "beats.json").write_text(json.dumps(card | {"licence": "another"}))
    assert plan_run("mitbih_ptb", how, tmp_path).folder.name != first
    with pytest.raises(ConfigError, match="did you mean 'beats'"):
        plan_run("mitbih_ptb", {"start": ["beets"]}, tmp_path)


DATA = Path(os.environ.get("BIOSIG_DATA", ""))
THERE = bool(os.environ.get("BIOSIG_DATA")) and (DATA / "ptb-xl/1.0.3").is_dir()


@pytest.mark.realdata
@pytest.mark.skipif(not THERE, reason="BIOSIG_DATA does not hold ptb-xl")
def test_a_target_that_the_weights_have_seen_is_refused(made):
    seen, other = (ptbxl_records(DATA / "ptb-xl/1.0.3", folds=k, patients=12) for k in (1, 2))
    digest = write_hashes(made / "twelve.hashes", content_hashes(seen, LEADS))
    w = find_weights(str(made / "twelve.safetensors"))
    about = {"databases": ["ptb-xl"], "hashes": "twelve.hashes", "hashes_sha256": digest}
    w.card["pretrained_on"] = about
    first = re.escape(seen.table.index[0])
    message = f"{len(seen)} of {len(seen)} recordings of the target are among .*{first}"
    with pytest.raises(LeakageError, match=message):
        check_start_unseen(w, seen)
    check_start_unseen(w, other)


def test_compare_takes_a_name(made, monkeypatch):
    monkeypatch.setenv("BIOSIG_WEIGHTS", str(made))
    torch.manual_seed(0)
    spec = InputSpec(50.0, ("a",), 2.0, unit="any", scale="record")
    card = {"builder": {"name": "xresnet1d18", "options": {"n_leads": 1}}, "licence": "CC0"}
    card |= {"input": spec.as_dict(), "input_shape": [1, 100]}
    save_body(build("xresnet1d18", 1, {"n_leads": 1}), made / "one.safetensors", card)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 1, 100)), np.tile([0, 1], 20)
    tiny = dict(preset="smoke", max_updates=20, n_random_features=84, n_resamples=100)
    how = dict(fs=50, channels=["a"], cv=2, progress=False, arms=("scratch", "frozen"), **tiny)
    found = compare(x, y, np.arange(40), pretrained="one", **how)
    arms = found.run.results["recommended"].predictions
    assert {"scratch", "frozen", "random frozen"} <= set(arms.arm)
    assert set(arms[arms.role == "arm"].model) == {"one"}
    assert set(arms[arms.arm == "frozen"].start) == {"weights"}
    assert found.p["start"] == ["one"]
    with pytest.raises(ConfigError, match="did you mean 'one'"):
        compare(x, y, np.arange(40), pretrained="onn", **how)


GEORGIA = DATA / "challenge-2021/1.0.3/training/georgia"
GEORGIA_THERE = bool(os.environ.get("BIOSIG_DATA")) and GEORGIA.is_dir()


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.skipif(not GEORGIA_THERE, reason="BIOSIG_DATA does not hold challenge-2021")
def test_an_own_folder_of_twelve_leads_from_weights_to_a_page(made, tmp_path, monkeypatch):
    "Forty recordings and a file of weights; no database is on this machine."
    monkeypatch.setenv("BIOSIG_WEIGHTS", str(made))
    ward, rows = tmp_path / "ward", []
    ward.mkdir()
    once = [p for p in sorted(GEORGIA.glob("*/*.hea")) if p.stem != "E07510"]  # it is E07509
    for k, header in enumerate(once[:40]):
        for path in (header, header.with_suffix(".mat")):
            (ward / path.name).write_bytes(path.read_bytes())
        rows.append((header.stem, k % 2, f"person {k}"))
    table = pd.DataFrame(rows, columns=["record", "label", "patient"])
    table.to_csv(ward / "records.csv", index=False)
    monkeypatch.setenv("BIOSIG_DATA", str(tmp_path / "nothing"))
    small = ("-p", "n_folds=2", "-p", "n_resamples=100")
    own = ("--target", ward, "--start", "twelve", "--out", tmp_path / "runs")
    done = biosig("run", "ptbxl_g12ec", *own, *small)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs" / "ptbxl_g12ec").glob("smoke-*")
    record = json.loads((folder / "run.json").read_text())
    assert record["status"] == "complete"
    assert record["data"]["databases"] == []
    assert [one["name"] for one in record["starts"]] == ["twelve"]
    assert "exploratory_variant" not in record["primary"]["notes"]  # declared by the run
    found = pd.read_parquet(folder / "predictions.parquet")
    assert {"scratch", "random frozen"} < set(found.arm)
    assert (folder / "index.html").is_file()


def test_the_list_names_what_is_shipped():
    listed = list_weights()
    assert set(NAMES) <= set(listed.name)
