"""Controls from the trial to the table.

A planted leak raises an alarm, permuted labels fall to chance, a random body stays what it was.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from torch import nn

from biosig_nb.data.simulate.world import simulate_world
from biosig_nb.evaluate.predictions import validate_predictions
from biosig_nb.evaluate.show.tables import table_html
from biosig_nb.evaluate.transfer.controls import control_table, readable_controls
from biosig_nb.evaluate.transfer.permutations import permutation_row
from biosig_nb.learn.arms import arms_named
from biosig_nb.learn.comparators import Comparator, features_comparator, minirocket_comparator
from biosig_nb.learn.controls import (
    metadata_control,
    missingness_control,
    permute_labels,
    permuted_predictions,
    position_control,
)
from biosig_nb.learn.fit import fit
from biosig_nb.learn.jobs import JobStore
from biosig_nb.learn.rates import maker
from biosig_nb.learn.recipe import Recipe
from biosig_nb.learn.results import budget_table
from biosig_nb.learn.splits import Split, grouped_kfold, holdout
from biosig_nb.learn.task import Task, examples
from biosig_nb.learn.trial import Trial, TrialResult, plan

CONTROLS = ("random frozen", "shuffled source")


class Net(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(1, 8, 16), nn.BatchNorm1d(8), nn.ReLU(), nn.AdaptiveMaxPool1d(1), nn.Flatten()
        )
        self.head = nn.Linear(8, n_classes)

    def forward(self, x):
        return self.head(self.body(x))


def leaking(cohort):
    "The cohort with a site that gives the label away, a random sex, gaps in the sick, an index."
    rng = np.random.default_rng(0)
    per = len(cohort) // len(set(cohort.groups))
    table = cohort.table.assign(
        site=np.where(cohort.labels == 1, "B", "A"),
        sex=np.repeat(rng.choice(["f", "m"], len(cohort) // per), per),
        at=np.tile(np.arange(per), len(cohort) // per),
    )
    mask = np.ones((len(cohort), cohort.signals.shape[-1]), bool)
    mask[cohort.labels == 1, 60:] = False
    return replace(cohort, table=table, mask=mask)


@pytest.fixture(scope="module")
def trial():
    source, target = simulate_world(1.0, n_target=60, n_examples=4, effect=3.0, seed=2)
    target = leaking(target)
    recipe = Recipe(
        max_updates=150, batch_size=32, lrs=(1e-2,), check_every=15, patience=4, warmup=5
    )
    x = target.signals[:, 0]
    comparators = (
        features_comparator(
            "features + boosted", np.column_stack([x.std(1), x.max(1), x.min(1)]), "boosted", 1
        ),
        minirocket_comparator(target, 1680),
        metadata_control(target, ("site",)),
        metadata_control(target, ("sex",)),
        missingness_control(target),
        position_control(target, "at"),
        features_comparator("noise", np.random.default_rng(0).normal(size=(240, 2)), "linear", 1),
        features_comparator("the label", target.labels[:, None], "linear", 1),
    )
    pretraining = Task(
        "source", source, (holdout(source.groups, source.labels),), replace(recipe, max_updates=300)
    )
    wanted = Task("target", target, tuple(grouped_kfold(target.groups, target.labels, 3)), recipe)
    return Trial(
        "recommended",
        Net,
        wanted,
        arms_named(["scratch", "full", *CONTROLS], pretraining),
        comparators=comparators,
        double_cap=False,
        study="demo",
    )


@pytest.fixture(scope="module")
def result(trial, tmp_path_factory) -> TrialResult:
    return trial.run(tmp_path_factory.mktemp("work"))


def linear(trial):
    "A model of the features that is fitted in milliseconds."
    return features_comparator("features + logistic", trial.comparators[0].features, "linear", 1)


@pytest.fixture(scope="module")
def table(trial, result):
    "The table of controls, by name."
    permuted = permuted_predictions(trial.target, linear(trial), 20)
    t = control_table(validate_predictions(result.predictions), permuted=permuted)
    return t.set_index("control")


def test_planted_leaks_raise_an_alarm(table):
    controls = table[table.role == "control"]
    leaking = ["site", "missingness"]
    fair = ["sex", "position (at)", "random frozen"]
    assert set(controls.index) == {*leaking, *fair, "shuffled source", "permuted labels"}
    assert (table.estimate[leaking] > 0.99).all()
    assert set(table.outcome[leaking]) == {"not passed"}
    assert table.alarm[leaking].all()
    assert set(table.outcome[fair]) == {"passed"}
    assert not table.alarm[fair].any()


def test_comparators_are_compared_and_raise_no_alarm(table):
    "The arm beats noise and not the label itself; only controls raise an alarm."
    assert table.outcome["noise"] == "beaten"
    assert table.estimate["the label"] == 1
    assert table.outcome["the label"] == "not beaten"
    assert table.role[["noise", "the label"]].tolist() == ["comparator"] * 2
    assert not table.alarm[table.role == "comparator"].any()


def test_alarms_are_red_in_the_page(table):
    shown = table.reset_index()
    alarm = list(shown.alarm[shown.role == "control"])
    html = table_html(readable_controls(shown), "caption", alarm=alarm)
    assert sum(alarm) >= 2
    assert html.count('<tr style="color:var(--alarm,#b00020)') == sum(alarm)


def test_permuted_labels_are_chance_and_a_leak_is_not(trial):
    fair = permutation_row(permuted_predictions(trial.target, linear(trial), 40))
    assert abs(fair["mean"] - 0.5) < 3 * fair["se"]
    assert fair["distinct"] == 40
    c = trial.target.cohort
    who = np.eye(60)[np.unique(c.groups, return_inverse=True)[1]]
    by_example = replace(
        trial.target, splits=(holdout(np.arange(len(c)), c.labels, test=0.3, unit="example"),)
    )
    leak = permutation_row(
        permuted_predictions(by_example, features_comparator("identity", who, n_candidates=1), 20)
    )
    assert leak["mean"] > 0.9
    assert not leak["passed"]


def test_permutations_of_sequences_and_labels(trial):
    """Labels that change within a group travel as whole sequences.

    Several labels travel together; a trial of several labels can be permuted too.
    """
    groups = np.repeat(list("abcdefgh"), 6)
    y = np.concatenate([np.full(6, i) + np.arange(6) * 10 for i in range(8)])
    p = permute_labels(y, groups, 3).reshape(8, 6)
    assert sorted(p[:, 0]) == list(range(8))
    assert (np.diff(p, axis=1) == 10).all()
    assert not np.array_equal(p.ravel(), y)
    c = trial.target.cohort
    two = replace(
        c,
        labels=np.column_stack([c.labels, np.arange(len(c)) % 4 == 0]).astype(int),
        label_names=("present", "first"),
    )
    comparator = replace(
        trial.comparators[0],
        features=np.column_stack([np.arange(len(c)) % 4, c.signals[:, 0].std(1)]).astype(float),
    )
    df = permuted_predictions(
        replace(trial.target, cohort=two, splits=trial.target.splits[:1]), comparator, 20
    )
    # the permutation leaves the position within the sequence as it is: this is known, and found
    row = permutation_row(df, label="first", unit="beat")
    assert row["mean"] > 0.95
    assert not row["passed"]
    assert abs(permutation_row(df, label="present")["mean"] - 0.5) < 0.1


def test_random_body_is_unchanged_by_training(trial, tmp_path):
    t, s = trial.target, trial.target.splits[0]
    store, train = JobStore(tmp_path), examples(t.cohort, s.train, t.recipe)
    makers = {
        j.who.name: maker(j, store, train.x[:2])
        for j in plan(trial)
        if j.split is s and j.trains_network and j.first is None
    }
    start = makers["scratch"]().state_dict()
    held = examples(t.cohort, s.validation, t.recipe)
    net = fit(makers["random frozen"], train, held, t.recipe, 0).net
    # running statistics of the normalisation included
    for k, v in net.state_dict().items():
        if k.startswith("body"):
            assert torch.equal(v, start[k])
    assert not torch.equal(net.head.weight, start["head.weight"])


def of_role_arm(df):
    return df[df.role == "arm"].reset_index(drop=True)


def test_control_arms_leave_the_arms_alone(trial, result, tmp_path):
    plain = replace(trial, arms=trial.arms[:2], comparators=()).run(tmp_path)
    assert plain.predictions.equals(of_role_arm(result.predictions))
    assert plain.source_predictions.equals(of_role_arm(result.source_predictions))
    assert set(result.source_predictions.arm) == {"scratch", "shuffled source"}
    assert set(plain.source_predictions.arm) == {"scratch"}
    budget = budget_table(result.jobs)
    arms = ["scratch", "full", *CONTROLS]
    assert set(budget.arm) == set(arms)
    assert budget[budget.task == "target"].cap.nunique() == 1
    # added later to the same folder: the same bits
    again = replace(trial, comparators=()).run(tmp_path).predictions
    p = result.predictions
    assert again.equals(p[p.arm.isin(arms)].reset_index(drop=True))


def test_shuffled_source_gives_no_gain(tmp_path):
    "Over simulated worlds `full` gains over `scratch`, a source with shuffled labels does not."
    rows = []
    for seed in range(5):
        source, target = simulate_world(1.0, n_target=320, seed=seed)
        # few patients to learn from, many to be sure of the result
        who = np.unique(target.groups, return_inverse=True)[1]
        split = Split(
            target.groups,
            np.flatnonzero(who < 22),
            np.flatnonzero((who >= 22) & (who < 30)),
            np.flatnonzero(who >= 30),
        )
        recipe = Recipe(
            max_updates=150, batch_size=32, lrs=(1e-2,), check_every=15, patience=4, warmup=5
        )
        pretraining = Task(
            "source",
            source,
            (holdout(source.groups, source.labels, seed=seed),),
            replace(recipe, max_updates=300),
        )
        arms = arms_named(["scratch", "full", "shuffled source"], pretraining)
        t = Trial(
            "recommended",
            Net,
            Task("target", target, (split,), recipe),
            arms,
            seeds=(seed,),
            double_cap=False,
        )
        p = t.run(tmp_path / str(seed)).predictions.query("part == 'test'")
        rows.append({arm: roc_auc_score(d.y_present, d.p_present) for arm, d in p.groupby("arm")})
    auc = pd.DataFrame(rows)
    assert (auc["full"] - auc["shuffled source"]).mean() > 0.05, auc
    assert (auc["shuffled source"] - auc["scratch"]).mean() < 0.04, auc


def test_a_plain_comparator_is_the_model_itself(trial):
    "The default comparator is scikit-learn's model on the training partition, to the last bit."
    c, s = trial.target.cohort, trial.target.splits[0]
    x = np.column_stack([c.signals[:, 0].std(1), c.signals[:, 0].max(1)]).astype(float)
    p = Comparator("r", "comparator", x, (LogisticRegression(),)).fit_predict(c.labels, s, s.test)
    q = LogisticRegression().fit(x[s.train], c.labels[s.train]).predict_proba(x[s.test])
    assert np.array_equal(p, q / q.sum(1, keepdims=True))
