"""Contracts and degenerate data of the evaluation room, from outside."""

import gc
import hashlib
import math
import multiprocessing
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from biosig_nb.errors import ConfigError, DataError
from biosig_nb.evaluate.inference.bootstrap import METRIC_COLUMNS, metric_table
from biosig_nb.evaluate.inference.compare import COMPARISON_COLUMNS, compare_arms
from biosig_nb.evaluate.inference.corrected_t import RedoInterval
from biosig_nb.evaluate.inference.p_values import bootstrap_p, holm
from biosig_nb.evaluate.inference.resampling import resample_counts
from biosig_nb.evaluate.inference.support import support_table
from biosig_nb.evaluate.inference.verdict import verdict
from biosig_nb.evaluate.predictions import (
    aggregate,
    load_predictions,
    save_predictions,
    simulate_predictions,
    validate_predictions,
)

quiet = settings(max_examples=60, deadline=None, database=None, derandomize=True)


def test_columns_are_those_of_the_contract():
    metrics = (
        "target protocol model arm role metric label unit "
        "threshold estimate lo hi conf n n_pos n_groups n_pos_groups"
    ).split()
    comparisons = (
        "target protocol model arm baseline metric label unit "
        "difference lo hi conf p p_adjusted n_groups"
    ).split()
    predictions = (
        "study target protocol model arm role start adaptation source rank "
        "seed source_seed repeat fold part example group source_n target_n"
    ).split()
    df = simulate_predictions(n_groups=30)
    assert list(METRIC_COLUMNS) == metrics
    assert list(metric_table(df, n_resamples=50).columns) == metrics
    assert list(COMPARISON_COLUMNS) == comparisons
    assert list(compare_arms(df).columns) == [*comparisons, "method"]
    assert list(df.columns) == [*predictions, "y_infarction", "p_infarction"]


def test_room_needs_no_torch():
    code = """
import sys
import biosig_nb.evaluate.inference.compare
import biosig_nb.evaluate.show.figures
import biosig_nb.evaluate.style
rooms = tuple(f"biosig_nb.{r}" for r in ("evaluate", "errors", "files", "guards"))
heavy = {"torch", "lightning", "wfdb", "papermill", "seaborn"}
print(sorted({m.split(".")[0] for m in sys.modules} & heavy))
print(sorted(m for m in sys.modules if m.startswith("biosig_nb.") and not m.startswith(rooms)))
"""
    python = [sys.executable, "-c", code]
    done = subprocess.run(python, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "[]"]


def digest(df, path):
    return hashlib.sha256(save_predictions(df, path).read_bytes()).hexdigest()


def _digest_elsewhere(path, queue):
    queue.put(digest(simulate_predictions(seed=5), path))


def test_same_table_same_bytes_in_another_process(tmp_path):
    queue = multiprocessing.get_context("spawn").Queue()
    other = multiprocessing.get_context("spawn").Process(
        target=_digest_elsewhere, args=(tmp_path / "b.parquet", queue)
    )
    other.start()
    there = queue.get(timeout=120)
    other.join()
    assert there == digest(simulate_predictions(seed=5), tmp_path / "a.parquet")


def test_bytes_do_not_depend_on_how_the_table_was_made(tmp_path):
    df = simulate_predictions()
    parts = pd.concat([df[:100], df[100:]])  # another index, other dtypes, other column order
    parts = parts.astype({"arm": "category", "seed": "int32", "y_infarction": "float64"})[
        list(df.columns)[::-1]
    ]
    assert digest(parts, tmp_path / "a.parquet") == digest(df, tmp_path / "b.parquet")


@quiet
@given(st.integers(0, 10_000), st.sampled_from(["nan", "two", "above", "truth", "part"]))
def test_validation_finds_a_single_bad_value(where, kind):
    df = simulate_predictions(n_groups=8, per_group=4)
    i = where % len(df)
    bad = dict(
        nan=("p_infarction", np.nan),
        two=("y_infarction", 2),
        above=("p_infarction", 1.01),
        truth=("y_infarction", -1),
        part=("part", "tst"),
    )
    column, value = bad[kind]
    df[column] = df[column].astype(object)
    df.loc[i, column] = value
    with pytest.raises(DataError, match=f"row {i} .*example {df.example[i]}"):
        validate_predictions(df.infer_objects())


def test_one_line_messages():
    df = simulate_predictions(n_groups=8, per_group=4)
    for bad in (
        df.drop(columns="arm"),
        df.assign(p_infarction=np.nan),
        df[3:],
        pd.concat([df, df]),
    ):
        with pytest.raises(DataError) as e:
            validate_predictions(bad)
        assert "\n" not in str(e.value)
        assert len(str(e.value)) < 400


def test_only_the_test_part_is_scored():
    df = simulate_predictions(n_groups=30)
    noise = df.assign(part="validation", p_infarction=1 - df.p_infarction)
    both = validate_predictions(pd.concat([df, noise], ignore_index=True))
    pd.testing.assert_frame_equal(
        metric_table(both, n_resamples=100), metric_table(df, n_resamples=100)
    )
    pd.testing.assert_frame_equal(compare_arms(both), compare_arms(df))


def test_order_of_rows_does_not_matter():
    df = simulate_predictions(n_groups=30, n_repeats=2)
    mixed = df.sample(frac=1, random_state=0)
    key = ["arm", "metric", "label"]
    a, b = (
        metric_table(d, n_resamples=200).sort_values(key, ignore_index=True) for d in (df, mixed)
    )
    pd.testing.assert_frame_equal(a, b, rtol=1e-12)


def test_an_arm_does_not_depend_on_the_others():
    df = simulate_predictions({"scratch": 1.0, "full": 1.5, "lora": 1.4}, n_groups=30)
    alone = metric_table(df[df.arm == "full"], n_resamples=200)
    together = metric_table(df, n_resamples=200)
    pd.testing.assert_frame_equal(alone, together[together.arm == "full"].reset_index(drop=True))


def test_fold_without_a_class_is_left_out():
    df = simulate_predictions(n_groups=40, n_folds=4)
    df.loc[(df.fold == 2), "y_infarction"] = 0
    t = metric_table(df, metrics=("auroc",), n_resamples=200)
    rest = metric_table(df[df.fold != 2], metrics=("auroc",), n_resamples=200)
    assert np.allclose(t.estimate, rest.estimate, atol=1e-12)
    assert t.lo.notna().all()


def test_rejected_resamples_are_counted():
    df = simulate_predictions(n_groups=12, per_group=5, n_folds=1)
    positives = sorted(df.group[df.y_infarction == 1].unique())
    df.loc[df.group.isin(positives[2:]), "y_infarction"] = 0  # two patients with the diagnosis
    t = metric_table(df, metrics=("auroc",), n_resamples=3000, min_groups=2)
    expected = (10 / 12) ** 12  # neither is drawn
    assert abs(t.attrs["rejected"] / 3000 - expected) < 0.03
    assert any("rejected" in n for n in t.attrs["notes"])
    assert t.lo.notna().all()


@pytest.mark.parametrize(
    "change",
    ["no positives", "no negatives", "one group", "one example", "constant score", "extremes"],
)
def test_degenerate_tables_do_not_crash(change):
    df = simulate_predictions(n_groups=12, per_group=3, n_folds=2)
    if change == "no positives":
        df["y_infarction"] = 0
    if change == "no negatives":
        df["y_infarction"] = 1
    if change == "one group":
        df = df[df.group == df.group[0]]
    if change == "one example":
        df = df[df.example == df.example[0]]
    if change == "constant score":
        df["p_infarction"] = 0.5
    if change == "extremes":
        df["p_infarction"] = (df.p_infarction > 0.5).astype(float)
    for unit in ("beat", "patient"):
        with np.errstate(all="raise"):
            t, c = metric_table(df, unit=unit, n_resamples=100), compare_arms(df, unit=unit)
        assert [len(t), len(c)] == [16, 1]
        v = verdict(c, 0.02)
        assert "nan" not in v.sentence.lower()
        if change in ("no positives", "no negatives", "one group", "one example"):
            assert v.word == "inconclusive"
            assert math.isnan(c.p[0])
    if change == "constant score":
        assert (metric_table(df, metrics=("auroc",), n_resamples=50).estimate == 0.5).all()


def test_equal_arms_are_never_told_apart():
    df = simulate_predictions({"scratch": 1.5}, n_groups=40, per_group=10, n_folds=1)
    twin = pd.concat([df, df.assign(arm="full")], ignore_index=True)
    c = compare_arms(twin, unit="patient", min_positives=5)
    assert c.loc[0, ["difference", "p", "method"]].tolist() == [0, 1, "groups"]
    assert c.lo[0] < -0.02  # no resample varies: the interval is that of 40 patients
    close = RedoInterval(0.0, lo=-0.001, hi=0.001)
    assert verdict(c, 0.02, redo=close).word == "inconclusive"


@quiet
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_equals_statsmodels(p):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gc, "collect", lambda: 0)  # multipletests collects garbage at each call
        expected = multipletests(p, method="holm")[1]
    assert np.allclose(holm(p), expected, rtol=0, atol=1e-15)


@quiet
@given(st.integers(0, 10_000), st.floats(-1, 1))
def test_p_agrees_with_the_interval(seed, shift):
    d = np.random.default_rng(seed).normal(size=999) + 3 * shift
    lo, hi = np.percentile(d, [2.5, 97.5])
    p = bootstrap_p(d)
    if p < 0.049:
        assert lo > 0 or hi < 0
    if p > 0.053:
        assert lo <= 0 <= hi


def test_resamples_are_the_same_for_everyone():
    a = resample_counts(["b", "a", "b", "c"], 50, seed=3)
    assert np.array_equal(a, resample_counts(["c", "a", "b"], 50, seed=3))
    assert (a.sum(1) == 3).all()
    with pytest.raises(DataError, match="no group"):
        resample_counts([], 5)
    with pytest.raises(ConfigError, match="at least one"):
        resample_counts(["a"], 0)


def test_support_counts_a_repeat_once_and_takes_the_poorest():
    df = simulate_predictions(n_groups=20, n_repeats=3, n_seeds=2)
    assert support_table(df).n.tolist() == [400]
    fewer = df[~((df["repeat"] == 1) & (df.fold == 0))]
    assert support_table(fewer).n.tolist() == [300]


def test_patients_by_mean_probability():
    df = simulate_predictions(n_groups=10)
    p = aggregate(df, "patient").set_index(["arm", "group"]).p_infarction
    assert np.allclose(
        p.sort_index(), df.groupby(["arm", "group"]).p_infarction.mean().sort_index(), atol=1e-15
    )


def test_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    import biosig_nb.evaluate.predictions as module

    path = save_predictions(simulate_predictions(seed=1), tmp_path / "predictions.parquet")
    before = path.read_bytes()

    def cut(table, where, **kw):
        where.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(module.pq, "write_table", cut)
    with pytest.raises(KeyboardInterrupt):
        save_predictions(simulate_predictions(seed=2), path)
    assert path.read_bytes() == before
    assert [f.name for f in tmp_path.iterdir()] == ["predictions.parquet"]
    assert load_predictions(path).equals(simulate_predictions(seed=1))
