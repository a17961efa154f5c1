"""Learning curves and label efficiency on simulated predictions whose answer is known.

And against loops that share no code with them.
"""

import math

import numpy as np
import pandas as pd
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import brier_score_loss, roc_auc_score

from biosig_nb.errors import ConfigError, DataError
from biosig_nb.evaluate.inference.resampling import resample_counts
from biosig_nb.evaluate.predictions import aggregate, simulate_predictions
from biosig_nb.evaluate.transfer.efficiency_report import efficiency_sentence, plot_label_efficiency
from biosig_nb.evaluate.transfer.label_efficiency import (
    EFFICIENCY_COLUMNS,
    label_efficiency,
    labels_needed,
    monotone,
)
from biosig_nb.evaluate.transfer.learning_curves import (
    CURVE_COLUMNS,
    learning_curve,
    plot_learning_curve,
)
from biosig_nb.evaluate.transfer.paired_gain import GAIN_COLUMNS, paired_gain
from biosig_nb.evaluate.transfer.sizes import nominal_sizes

SIZES = (10, 20, 40, 80, 160)


def effect(n):
    "Separation of the classes after training on n labels."
    return 0.3 * np.log2(n) - 0.6


def exact(worth=4, **kw):
    "Simulated: full with n labels has the very predictions of scratch with worth * n."
    kw = dict(n_groups=80, per_group=3) | kw
    return pd.concat(
        [
            simulate_predictions({arm: effect(n * w)}, **kw).assign(target_n=n)
            for arm, w in (("scratch", 1), ("full", worth))
            for n in SIZES
        ],
        ignore_index=True,
    )


def noisy(separations, **kw):
    "Simulated: (arm, size) -> separation, each fit with noise of its own."
    kw = dict(n_groups=80, per_group=3) | kw
    df = simulate_predictions({f"{a} {n}": e for (a, n), e in separations.items()}, **kw)
    parts = df.arm.str.split(" ", expand=True)
    return df.assign(arm=parts[0], target_n=parts[1].astype(int))


@pytest.fixture(scope="module")
def demo():
    return noisy(
        {(a, n): effect(n * w) for a, w in (("scratch", 1), ("full", 4)) for n in SIZES},
        n_repeats=2,
        seed=5,
    )


def uneven(df):
    "Sizes that differ from fold to fold."
    return df.assign(target_n=df.target_n + df.fold + (df.target_n // 20) * df["repeat"])


# ---- sizes


def test_sizes_of_equal_rank_get_the_median(demo):
    df = uneven(demo)
    found = nominal_sizes(df)
    for n in SIZES:
        assert set(found[demo.target_n == n]) == {
            np.median([n + f + (n // 20) * r for r in range(2) for f in range(4)])
        }
    shuffled = df.sample(frac=1, random_state=0)
    # row by row, whatever the order and index
    assert np.array_equal(nominal_sizes(shuffled), found[shuffled.index])


def test_uneven_sizes_give_the_same_scores(demo):
    a, b = learning_curve(demo, n_resamples=50), learning_curve(uneven(demo), n_resamples=50)
    assert np.allclose(
        a[["estimate", "lo", "hi"]].to_numpy(), b[["estimate", "lo", "hi"]].to_numpy(), atol=1e-12
    )
    assert sorted(b["size"].unique()) == sorted(set(nominal_sizes(uneven(demo))))


def test_ratio_with_uneven_sizes_is_of_nominal_sizes():
    df = exact()
    df = df.assign(target_n=df.target_n * (10 + df.fold) // 10)
    found = label_efficiency(df, n_resamples=20)
    assert found["size"].tolist() == [11.5, 23, 46, 92, 184]
    assert np.allclose(found.ratio, [4, 4, 4, 2, 1])


def test_a_missing_size_in_one_fold_is_no_shift_of_ranks(demo):
    lost = (demo.target_n == 10) & (demo.fold == 2) & (demo["repeat"] == 1)
    message = "5 sizes of target_n in most folds, but 4 in seed 0, repeat 1, fold 2"
    with pytest.raises(DataError, match=message):
        learning_curve(demo[~lost])
    with pytest.raises(DataError, match="arm full .* target_n 10 has 7 of 8 fits"):
        learning_curve(demo[~(lost & (demo.arm == "full"))])


# ---- curve and gain


def by_loop(df, groups, counts, arm, n, score=roc_auc_score):
    """A score by patient, averaged over folds and repeats, without folds of one class.

    Each patient is repeated as often as it was drawn.
    """
    one, found = df[(df.arm == arm) & (df.target_n == n)], []
    for _, d in one.groupby(["repeat", "fold"]):
        w = counts[np.searchsorted(groups, d.group)]
        y, p = np.repeat(d.y_infarction, w), np.repeat(d.p_infarction, w)
        if y.nunique() == 2:
            found.append(score(y, p))
    return np.mean(found)


@pytest.fixture(scope="module")
def looped(demo):
    "(arm, size) -> scores of 15 resamples by loop."
    df = aggregate(demo, "patient")
    groups = np.unique(df.group)
    counts = resample_counts(groups, 15, 7)
    return {
        (a, n): np.array([by_loop(df, groups, c, a, n) for c in counts])
        for a in ("scratch", "full")
        for n in SIZES
    }


def test_curve_is_that_of_the_loop(demo, looped):
    t = learning_curve(demo, n_resamples=15, seed=7, conf=0.8, draws=False)
    assert tuple(t.columns) == CURVE_COLUMNS
    assert t.n_groups.tolist() == [80] * 10
    for _, r in t.iterrows():
        expected = np.percentile(looped[r.arm, r["size"]], [10, 90])
        assert np.allclose([r.lo, r.hi], expected, atol=1e-12)


def test_gain_is_paired(demo, looped):
    t = paired_gain(demo, n_resamples=15, seed=7, conf=0.8, draws=False)
    assert tuple(t.columns) == GAIN_COLUMNS
    assert t["size"].tolist() == list(SIZES)
    for _, r in t.iterrows():
        differences = looped["full", r["size"]] - looped["scratch", r["size"]]
        assert np.allclose([r.lo, r.hi], np.percentile(differences, [10, 90]), atol=1e-12)
    # the same predictions: no difference in any resample
    twins = paired_gain(exact(worth=1), n_resamples=15)
    assert (twins[["difference", "lo", "hi"]] == 0).all(axis=None)


def test_source_size_draws_scratch_as_a_line():
    full = {("full", n): 0.6 + 0.15 * np.log2(n / 50) for n in (50, 100, 200)}
    df = noisy(full | {("scratch", 0): 0.7})
    df = df.assign(source_n=df.target_n, target_n=30 + df.fold)
    t = learning_curve(df, size="source_n", n_resamples=50)
    assert t[t.arm == "scratch"]["size"].tolist() == [0]
    assert t[t.arm == "full"]["size"].tolist() == [50, 100, 200]
    (line,) = [l for l in plot_learning_curve(t).get_lines() if l.get_label() == "scratch"]
    assert list(line.get_xdata()) == [0, 1]
    assert np.ptp(line.get_ydata()) == 0
    gain = paired_gain(df, size="source_n", n_resamples=50)
    e = t.set_index(["arm", "size"]).estimate
    assert np.allclose(gain.difference, [e["full", n] - e["scratch", 0] for n in (50, 100, 200)])


def test_macro_average_over_several_labels():
    df = noisy(
        {(a, n): effect(n * w) for a, w in (("scratch", 1), ("full", 4)) for n in (10, 20)},
        labels=("N", "S", "V"),
        per_group=8,
    )
    t = learning_curve(df, unit="beat", n_resamples=20)
    one = df[(df.arm == "full") & (df.target_n == 20)]
    folds = [d for _, d in one.groupby("fold")]
    area = {l: np.mean([roc_auc_score(d[f"y_{l}"], d[f"p_{l}"]) for d in folds]) for l in "NSV"}
    assert (t.label == "macro").all()
    found = t.set_index(["arm", "size"]).estimate["full", 20]
    assert math.isclose(found, np.mean(list(area.values())), abs_tol=1e-12)
    v = learning_curve(df, unit="beat", label="V", n_resamples=20)
    found = v.set_index(["arm", "size"]).estimate["full", 20]
    assert math.isclose(found, area["V"], abs_tol=1e-12)


# ---- label efficiency


def test_worth_four_where_it_can_be_seen():
    t = label_efficiency(exact(), n_resamples=200, draws=False)
    assert tuple(t.columns) == EFFICIENCY_COLUMNS
    assert np.allclose(t.ratio, [4, 4, 4, 2, 1])
    assert t.bound.tolist() == [0, 0, 0, 1, 1]
    assert t.worth.str.startswith(">=").tolist() == [False] * 3 + [True] * 2
    assert t.worth.tolist()[3] == ">= 2.0 (>= 2.0 to >= 2.0)"
    assert (t.above[3:] > 0.98).all()
    worse = label_efficiency(exact(worth=1 / 4), n_resamples=200, draws=False)
    assert np.allclose(worse.ratio, [1, 0.5, 0.25, 0.25, 0.25])
    assert worse.bound.tolist() == [-1, -1, 0, 0, 0]
    assert (worse.below[:2] > 0.98).all()
    assert worse.worth.tolist()[1] == "<= 0.50 (<= 0.50 to <= 0.50)"


def test_lower_is_better_metric():
    t = label_efficiency(exact(), metric="brier", n_resamples=50)
    assert np.allclose(t.ratio, [4, 4, 4, 2, 1])
    assert t.bound.tolist() == [0, 0, 0, 1, 1]
    assert (t.rise > 0).all()
    one = aggregate(exact(), "patient")[lambda d: (d.arm == "full") & (d.target_n == 20)]
    folds = [brier_score_loss(d.y_infarction, d.p_infarction) for _, d in one.groupby("fold")]
    assert math.isclose(t.score[1], np.mean(folds), abs_tol=1e-12)


def ratio(n, full, scratch):
    "(bound, ratio) from a score of full at n and the five of scratch, by np.interp."
    f = IsotonicRegression().fit_transform(range(5), scratch)
    if full > f[-1]:
        return 1, SIZES[-1] / n
    return (-1, SIZES[0] / n) if full < f[0] else (0, 2 ** np.interp(full, f, np.log2(SIZES)) / n)


@pytest.mark.parametrize("n", SIZES)
def test_interval_uses_the_same_resamples_for_both_curves(demo, looped, n):
    t = (
        label_efficiency(demo, n_resamples=15, seed=7, conf=0.8, draws=False)
        .set_index("size")
        .loc[n]
    )
    draws = sorted(
        ratio(n, looped["full", n][b], [looped["scratch", k][b] for k in SIZES]) for b in range(15)
    )
    lo, hi = draws[math.floor(0.1 * 14)], draws[math.ceil(0.9 * 14)]  # the outer neighbours
    assert np.allclose([t.lo, t.hi], [lo[1], hi[1]], atol=1e-9)
    assert [t.lo_bound, t.hi_bound] == [lo[0], hi[0]]
    assert math.isclose(t.above, np.mean([b == 1 for b, _ in draws]))
    assert math.isclose(t.below, np.mean([b == -1 for b, _ in draws]))


def test_flat_baseline_is_reported():
    full = {("full", n): effect(4 * n) for n in SIZES}
    scratch = {("scratch", n): 1.6 - 0.3 * i for i, n in enumerate(SIZES)}
    falls = label_efficiency(noisy(scratch | full, n_groups=120), n_resamples=100)
    assert falls[["ratio", "lo", "hi", "below"]].isna().all(axis=None)
    assert (falls.worth == "unknown").all()
    assert "does not rise (" in falls.attrs["notes"][0]
    assert "is unknown" in efficiency_sentence(falls.iloc[0])
    # exactly level: never a ratio
    parts = []
    for n in SIZES:
        for arms in ({"scratch": 0.6}, {"full": effect(4 * n)}):
            parts.append(simulate_predictions(arms, n_groups=80).assign(target_n=n))
    level = label_efficiency(pd.concat(parts), n_resamples=100)
    assert level.ratio.isna().all()
    assert (level.rise == 0).all()
    assert "does not rise (" in level.attrs["notes"][0]


def test_monotone_and_needed():
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(100, 5))
    fitted = [IsotonicRegression().fit_transform(range(5), r) for r in rows]
    assert np.allclose(monotone(rows), fitted, atol=1e-12)
    curve, wanted = np.array([[0.5, 0.6, 0.7]] * 4), np.array([0.4, 0.55, 0.7, 0.71])
    n, b = labels_needed([5, 10, 20], curve, wanted)
    assert np.allclose(n, [5, 5 * 2**0.5, 20, 20])
    assert b.tolist() == [-1, 0, 0, 1]


def test_errors(demo):
    one = demo[demo.target_n == 20]
    for f in (learning_curve, paired_gain, label_efficiency):
        with pytest.raises(ConfigError, match="at least two sizes of target_n, found 20 only"):
            f(one)
    with pytest.raises(ConfigError, match="its curve needs at least two"):
        label_efficiency(demo[(demo.arm == "full") | (demo.target_n == 20)])
    with pytest.raises(ConfigError, match="source_n varies as well"):
        learning_curve(pd.concat([demo, demo.assign(source_n=9)]))
    with pytest.raises(ConfigError, match="did you mean 'target_n'"):
        learning_curve(demo, size="target")


def test_words_and_figure():
    t = label_efficiency(exact(), n_resamples=50, draws=False)
    assert efficiency_sentence(t.iloc[3], "patients") == (
        "With 80 patients, full fine-tuning has a better AUROC than training from scratch with the "
        "most patients tried (160): each is worth at least 2.0 (95 % CI at least 2.0, for these "
        "training draws only; 80 patients)."
    )
    ax = plot_label_efficiency(t)
    assert ax.get_yscale() == "log"
    assert {l.get_marker() for l in ax.get_lines()} >= {"o", "^"}
    with pytest.raises(ConfigError, match="one kind of curve"):
        plot_label_efficiency(pd.concat([t, t.assign(metric="auprc")]))
