"""Sentences of a page under extreme results: none may contradict the numbers it stands under."""

import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from biosig_nb.evaluate.inference.bootstrap import metric_table
from biosig_nb.evaluate.inference.compare import compare_arms
from biosig_nb.evaluate.numbers import DASH
from biosig_nb.evaluate.predictions import label_names, simulate_predictions
from biosig_nb.runs.first_screen import first_screen
from biosig_nb.studies import appraisal, glance, methods, sections
from biosig_nb.studies.best_comparator import comparator_record
from biosig_nb.studies.view import View

ARMS = ("scratch", "full")


def perfect(p, y):
    return np.where(y == 1, 0.99, 0.01)


def chance(p, y):
    return np.random.default_rng(0).permutation(p)


def reversed_(p, y):
    return 1 - p


def constant(p, y):
    return np.full(len(p), 0.5)


def unchanged(p, y):
    return p


RESULTS = {"perfect": perfect, "chance": chance, "reversed": reversed_, "constant": constant}
CASES = [(name, False) for name in RESULTS] + [("one fold", True)]


@pytest.fixture(scope="module", autouse=True)
def shell():
    "What a section shows goes to a shell, as in a notebook."
    InteractiveShell.instance()
    yield
    InteractiveShell.clear_instance()


def made(name, one_fold):
    "A view on two arms, a control and a comparator; the arm has the extreme result."
    effects = {"scratch": 1.0, "full": 1.2, "age": 0.1, "named features": 1.5}
    df = simulate_predictions(effects, n_groups=40, seed=2)
    if one_fold:
        df = df[(df.fold == df.fold.min()) & (df.repeat == df.repeat.min())]
    df.loc[df.arm == "age", "role"] = "control"
    df.loc[df.arm == "named features", "role"] = "comparator"
    (label,) = label_names(df)
    full, change = df.arm == "full", RESULTS.get(name, unchanged)
    df.loc[full, f"p_{label}"] = change(df[f"p_{label}"][full].to_numpy(), df[f"y_{label}"][full])
    m = metric_table(df, ("auroc",), unit="patient", n_resamples=100)
    pairs = [compare_arms(df, arms=["full"])]
    pairs += [compare_arms(df, baseline=b, arms=["full"]) for b in ("age", "named features")]
    how = dict(label=label, unit="patient", arms=ARMS, threshold=0.3, contrast_label=label)
    return View(df, m, pd.concat(pairs, ignore_index=True), **how)


def sentences(show, *args, **how):
    "What a section shows, as text."
    with capture_output() as captured:
        show(*args, **how)
    kinds = ("text/html", "text/markdown", "text/plain")
    found = [next((o.data[k] for k in kinds if k in o.data), "") for o in captured.outputs]
    return " ".join(re.sub(r"<[^>]+>", " ", text) for text in found)


@pytest.mark.parametrize("name, one_fold", CASES)
def test_sections_say_what_their_numbers_say(name, one_fold):
    v = made(name, one_fold)
    row = v.comparisons[v.comparisons.baseline == "scratch"].iloc[0]
    gain = sentences(sections.show_gain, v)
    assert ("1 above 0" in gain) == bool(row.lo > 0)
    assert ("1 below 0" in gain) == bool(row.hi < 0)
    assert ("containing 0" in gain) == bool(row.lo <= 0 <= row.hi)
    roc = sentences(sections.show_roc, v)
    of_arms = v.metrics[v.metrics.role != "control"]
    assert ("95 % bands" in roc) == bool(of_arms.lo.notna().any())
    assert ("averaged" in roc) != one_fold
    assert ("the one test fold" in roc) == one_fold
    table = sentences(glance.show_arms, v, ARMS)
    without = (~(of_arms.lo < of_arms.hi)).any() or not row.lo < row.hi
    assert (f"({DASH}): no interval" in table) == bool(without)
    controls = sentences(appraisal.show_controls, v)
    failed = not v.comparisons.lo[v.comparisons.baseline == "age"].iloc[0] > 0
    assert ("A red row was not passed" in controls) == failed
    assert "Permuted labels" not in controls
    assert "without pre-training" not in controls


@pytest.mark.parametrize("name, one_fold", CASES)
def test_the_first_screen_says_what_its_numbers_say(name, one_fold):
    v = made(name, one_fold)
    c = comparator_record(v)
    assert c["name"] == "named features"
    primary = {"sentence": "A claim.", "verdict": "inconclusive", "comparator": c}
    primary["controls"] = {"of": 1, "not_passed": ["age"] if name == "constant" else []}
    page = re.sub(r"<[^>]+>", " ", first_screen({"preset": "quick", "primary": primary}, "x"))
    assert ("the arm is better" in page) == (c["lo"] is not None and c["lo"] > 0)
    assert ("the comparator is better" in page) == (c["hi"] is not None and c["hi"] < 0)
    assert ("Caution" in page) == (name == "constant")
    assert ("None of 1 controls speaks against it" in page) == (name != "constant")


def test_a_machinery_test_shows_no_result():
    chances = {"smallest_gain": 0.02, "p_benefit": 0.9, "p_within": 0.1, "p_harm": 0.0}
    primary = {"sentence": "Machinery test: no verdict.", "verdict": None, "probabilities": chances}
    page = first_screen({"preset": "smoke", "primary": primary}, "x")
    assert 'id="verdict"' in page
    for word in ("p =", "p <", "worth having", "0.90", "Benefit", "Caution"):
        assert word not in page


@pytest.mark.parametrize("slope", [-1, 1])
def test_rising_losses_are_not_called_improving(slope):
    n = np.arange(20, 120, 20)
    rows = {"task": "t", "arm": "full", "seed": 0, "repeat": 0, "fold": 0, "update": n}
    history = pd.concat(
        pd.DataFrame(rows | {"part": part, "loss": 1 + slope * n / 200})
        for part in ("train", "validation")
    )
    trial = SimpleNamespace(target=SimpleNamespace(name="t"))
    text = sentences(methods.show_training, trial, SimpleNamespace(history=history))
    assert "improving" not in text
    assert "Validation loss solid" in text
