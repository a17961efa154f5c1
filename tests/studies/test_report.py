"""The report of an unknown study: run on a few simulated people, shown, and written."""

import json
from dataclasses import replace

import nbformat
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from checkout import ROOT
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from torch import nn

from biosig_nb.data.cohort import Cohort
from biosig_nb.errors import ConfigError
from biosig_nb.evaluate.predictions import load_predictions
from biosig_nb.learn.arms import FROZEN, Arm, lora, trained_on
from biosig_nb.learn.comparators import features_comparator
from biosig_nb.learn.recipe import Recipe
from biosig_nb.learn.splits import grouped_kfold, holdout
from biosig_nb.learn.task import Task
from biosig_nb.learn.trial import Trial
from biosig_nb.runs.render import render_html
from biosig_nb.studies.analysis import analyse, gap_table
from biosig_nb.studies.declaration import check_declaration
from biosig_nb.studies.folders import find_studies
from biosig_nb.studies.parameters import Parameters
from biosig_nb.studies.report import SECTIONS, Report
from biosig_nb.studies.study import Cohorts, Data, Study, StudyRun
from biosig_nb.studies.study_yaml import primary_analysis

CONFIG = {
    "title": "Toes: does a left one help on a right one?",
    "question": "Does pre-training on left toes help on right ones?",
    "databases": {"required": [], "optional": {}},
    "own": None,
    "units": {"example": "record", "group": "person", "noun": "persons"},
    "parameters": {},
    "primary": {
        "protocol": "recommended",
        "target": "right",
        "label": "gout",
        "metric": "auroc",
        "unit": "patient",
        "grouping": "person",
        "contrast": {"arm": "full", "baseline": "scratch"},
        "others": ["frozen"],
        "smallest_gain": 0.02,
        "threshold": 0.3,
        "exclusions": [],
    },
}
P = {
    "preset": "quick",
    "data": "simulated",
    "protocol": "recommended",
    "seed": 0,
    "threads": 1,
    "n_resamples": 200,
}


class Net(nn.Module):
    "One layer as the body, one as the head."

    def __init__(self, n_outputs):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(12, 6), nn.ReLU())
        self.head = nn.Linear(6, n_outputs)

    def forward(self, x):
        return self.head(self.body(x))


class Toes(Study):
    "A study with one sentence, one fact and one word of its own."

    def lines(self, run):
        return ["Toes are simulated elsewhere."]

    def facts(self, run):
        return {"limits": "Ten toes a person at most."}

    def given(self, run):
        return {"named features": "length and width"}


def site(name, n, seed, simulated=True, own=False, call=str):
    "One recording of each of n persons; the first sample holds the label; `call` changes names."
    name, label = call(name), call("gout")
    rng = np.random.default_rng(seed)
    y, groups = np.arange(n) % 2, np.array([f"{name}/{i:03d}" for i in range(n)])
    x = rng.normal(size=(n, 1, 12)).astype(np.float32)
    x[:, 0, 0] += 2 * y
    table = pd.DataFrame({"age": rng.integers(20, 90, n)}, index=[f"{g}#0" for g in groups])
    facts = {"database": name, "version": "", "simulated": simulated, "own": own}
    facts |= {"fingerprint": f"{seed:016d}", "missing": [] if call is str else [call("record")]}
    flow = pd.DataFrame({"step": ["records"], "kept": [n], "dropped": [0], "why": ["on disk"]})
    return Cohort(x, y, groups, table, 50.0, (call("toe"),), (label,), facts, flow=flow)


@pytest.fixture(scope="module", autouse=True)
def shell():
    "What a report shows goes to a shell, as in a notebook."
    InteractiveShell.instance()
    yield
    InteractiveShell.clear_instance()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("toes"))


def trained(folder, call=str):
    "Two sites, four arms, a control and a comparator, trained for a few updates."
    recipe = Recipe(20, 8, (1e-2,), check_every=10)
    left, right = site("left", 60, 1, call=call), site("right", 48, 2, call=call)
    source = Task("left", left, (holdout(left.groups, left.labels, 0.2, 0.2, 0),), recipe)
    target = Task("right", right, tuple(grouped_kfold(right.groups, right.labels, 3, 1)), recipe)
    begun, x = trained_on(source), right.signals[:, 0]
    arms = (
        Arm(),
        Arm(begun),
        Arm(begun, FROZEN),
        Arm(begun, lora(1), name="lora (rank 1)", title="LoRA, rank 1"),
    )
    named = features_comparator("named features", x[:, :2], "linear", 1)
    age = features_comparator("age", right.table[["age"]].to_numpy(float), "linear", 1)
    known = (named, replace(age, role="control"))
    how = dict(study="toes", model="Net", double_cap=False)
    trial = Trial("any name", Net, target, arms, known, **how)
    p = Parameters({**P, "run_dir": str(folder)})
    p.study = "toes"
    return StudyRun(
        study=Toes("toes", CONFIG | {"primary": CONFIG["primary"] | {"label": call("gout")}}),
        p=p,
        data=Data("simulated", (), folder),
        cohorts=Cohorts(left, right),
        trials={trial.name: trial},
        results={trial.name: trial.run(folder / "work")},
        folder=folder,
    )


def page_of(run, **change):
    "Everything a report shows of a run, and the report."
    with capture_output() as captured:
        R = Report(run.p, replace(run, **change))
        R.title()
        R.rest()
    kinds = ("text/markdown", "text/html", "text/plain")
    texts = [next((o.data[k] for k in kinds if k in o.data), "") for o in captured.outputs]
    return R, "\n".join(texts)


@pytest.fixture(scope="module")
def shown(finished):
    return page_of(finished)


def test_every_section_has_a_heading(shown):
    R, page = shown
    headings = [line[3:] for line in page.splitlines() if line.startswith("## ")]
    assert R.shown == set(SECTIONS)
    assert len(headings) == len(SECTIONS) - 1  # one protocol: there is no gap to show
    assert not [h for h in headings if "gap" in h]
    assert page.startswith("# Toes: does a left one help on a right one?")
    assert headings[0] == "The question"
    assert headings[-1] == "Provenance"
    assert "Precision: what 48 persons can show" in headings


@pytest.mark.parametrize(
    "text",
    [
        'id="verdict"',
        "Toes are simulated elsewhere.",
        "All recordings of this run are simulated.",
        "Does pre-training on left toes help",
        "by patient",
        "48 examples at 50 Hz",
        "length and width",
        "permuted labels",
        "LoRA, rank 1",
        'id="comparator"',
        "computed within each of 3 test folds and averaged",
        "Ten toes a person at most.",
        "fingerprint 0000000000000002",
    ],
)
def test_the_page_says(text, shown):
    assert text in shown[1].replace("by person", "by patient")


def test_tables_are_written_as_the_run_store_reads_them(shown, finished):
    folder = finished.folder
    written = json.loads((folder / "result.json").read_text())
    assert written["data"] == {
        "kind": "simulated",
        "databases": ["left", "right"],
        "missing": {"left": [], "right": []},
        "simulated_target": True,
        "simulated_source": True,
    }
    assert written["primary"]["hash"] == Study("toes", CONFIG).primary["hash"]
    assert written["primary"]["headline"]["n_groups"] == 48
    assert written["primary"]["sample"] == {
        "groups": 48,
        "noun": "persons",
        "positive": 24,
        "label": "gout",
    }
    assert written["primary"]["comparator"]["name"] == "named features"
    controls = written["primary"]["controls"]
    assert controls["of"] == 2  # age, permuted labels
    assert set(controls["not_passed"]) <= {"age", "permuted labels"}
    assert set(load_predictions(folder / "predictions.parquet").target) == {"right"}
    assert set(load_predictions(folder / "predictions_left.parquet").target) == {"left"}
    assert set(json.loads((folder / "splits.json").read_text())["any name"]) == {"left", "right"}
    figures = list((folder / "figures").iterdir())
    assert {p.suffix for p in figures} <= {".svg", ".png"}
    assert {p.stem for p in figures} >= {
        "gain",
        "roc",
        "controls",
        "calibration",
        "decision_curve",
        "history",
    }


def test_parameters_of_each_arm_are_those_that_were_trained(shown):
    R, page = shown
    end = page.index("Parameters that each arm trains")
    row = page[page.rindex("<table", 0, end) : end]
    jobs = R.result.jobs[R.result.jobs.task == "right"].drop_duplicates("arm").set_index("arm")
    assert jobs.trainable["scratch"] == 85
    assert jobs.trainable["full"] == 85
    assert jobs.trainable["frozen"] == 7
    for n in (85, 7):
        assert f">{n}<" in row


def test_own_recordings_beside_a_simulated_source(finished):
    trial = finished.trials["any name"]
    facts = trial.target.cohort.provenance | {"own": True, "simulated": False}
    target = replace(trial.target, cohort=replace(trial.target.cohort, provenance=facts))
    own = {"any name": replace(trial, target=target)}
    run = replace(finished, trials=own, data=replace(finished.data, kind="own"))
    with capture_output() as captured:
        Report(finished.p, run).summary()
    page = "\n".join(o.data.get("text/markdown", "") for o in captured.outputs)
    simulated = "the recordings of *left* are simulated"
    mine = "the recordings of *right* are your own"
    assert f"**Part of this run is simulated:** {simulated}, {mine}." in page
    data = json.loads((finished.folder / "result.json").read_text())["data"]
    assert data["kind"] == "own"
    assert data["simulated_source"] is True
    assert data["simulated_target"] is False


def test_a_smoke_run_has_no_verdict(finished):
    R = Report(Parameters({**finished.p, "preset": "smoke"}), finished)
    assert R.analysis.primary["verdict"] is None
    assert R.analysis.primary["sentence"] == "Machinery test: no verdict."


@pytest.mark.parametrize(
    "where, value, message",
    [
        (("primary", "unit"), "patients", "did you mean 'patient'?"),
        (("primary", "metric"), "aurok", "did you mean 'auroc'?"),
        (("units", "example"), "records", "did you mean 'record'?"),
        (("primary", "target"), "rigth", "did you mean 'right'?"),
    ],
)
def test_a_wrong_name_in_the_declaration_fails_at_once(where, value, message, finished):
    config = {**CONFIG, where[0]: {**CONFIG[where[0]], where[1]: value}}
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        analyse(finished.results, Study("toes", config), 200)


def test_limited_is_read_off_the_trial_of_the_declared_baseline(finished):
    free = replace(finished.results["any name"], short=())
    bound = replace(free, short=("scratch",))
    elsewhere = free.predictions.assign(target="another")

    def sentence(main, other):
        "The verdict of a run with a trial on the declared target and one on another."
        results = {"recommended": replace(other, predictions=elsewhere), "x": main}
        return analyse(results, finished.study, 200).primary["sentence"].lower()

    assert not sentence(free, bound).startswith("budget-limited")
    assert sentence(bound, free).startswith("budget-limited")


def test_the_gap_is_counted_in_the_declared_examples(finished):
    A = analyse(finished.results, finished.study, 200)
    assert gap_table(A.metrics, finished.study).empty
    with pytest.raises(ConfigError, match="did you mean 'accuracy'"):
        gap_table(A.metrics, finished.study, ("acuracy",))


@pytest.mark.parametrize("name", find_studies(ours=True))
def test_declarations_of_the_package_are_sound(name):
    study = Study(name)
    assert check_declaration(study) == study.primary == primary_analysis(name)


def test_the_base_report_asks_for_a_study_and_is_no_test_without_one():
    notebook = nbformat.read(ROOT / "nbs" / "studies" / "report.ipynb", 4)
    first, *cells = [c for c in notebook.cells if c.cell_type == "code"]
    assert first.metadata.tags == ["parameters"]
    assert all(line.startswith("#") for line in first.source.splitlines())
    assert all("#| eval: false" in c.source for c in cells)
    assert "resolve(study, globals())" in cells[0].source


HOSTILE = r"<script>document.title = 'taken'</script>$\frac$ *x* [y](z) `c`"


def test_names_from_the_data_are_text_on_the_page(tmp_path):
    "Markup and mathematics in names of databases, records, labels and channels are shown as text."
    run = trained(tmp_path, lambda name: f"{name} {HOSTILE}")
    title = "Toes <b>and</b> *more*"
    run = replace(run, study=Toes("toes", run.study.config | {"title": title}))
    with capture_output() as captured:
        R = Report(run.p, run)
        R.title()
        R.rest()
    output = nbformat.v4.new_output
    outputs = [output("display_data", o.data, metadata=o.metadata) for o in captured.outputs]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(outputs=outputs)])
    nbformat.write(notebook, tmp_path / "notebook.ipynb")
    page = render_html(tmp_path / "notebook.ipynb", tmp_path / "page.html", title, {})
    html = page.read_text()
    assert "<script" not in html
    soup = BeautifulSoup(html, "html.parser")
    assert soup.h1.text == soup.title.text == title
    text = " ".join(soup.get_text().split())
    assert f"left {HOSTILE}: 1 (record {HOSTILE})" in text  # a line of Markdown
    assert f"Net benefit of acting on a prediction of gout {HOSTILE} (" in text
    assert f"toe {HOSTILE} at 50 Hz" in text  # a table
    assert R.shown == set(SECTIONS)
    for card in (tmp_path / "cards").iterdir():
        assert "<script" not in card.read_text()
