"""The same chance for every arm and source: several pre-trainings, learning rates, updates."""

from dataclasses import replace

import pandas as pd
import pytest
from torch import nn

from biosig_nb.data.simulate.world import simulate_world
from biosig_nb.errors import ConfigError
from biosig_nb.evaluate.predictions import load_predictions, save_predictions
from biosig_nb.learn.arms import Arm, arms_named, trained_on
from biosig_nb.learn.jobs import JobStore
from biosig_nb.learn.recipe import Recipe
from biosig_nb.learn.results import budget_table, rate_table
from biosig_nb.learn.splits import grouped_kfold, holdout
from biosig_nb.learn.task import Task
from biosig_nb.learn.trial import Trial
from biosig_nb.studies import ctg_ne, head_arms, icentia_af, mitbih_ptb, ptbxl_g12ec
from biosig_nb.studies.parameters import resolve

SHORT = Recipe(max_updates=15, batch_size=32, lrs=(1e-2,), check_every=15, patience=1, warmup=5)


class WorldNet(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        layers = nn.Conv1d(1, 8, 16), nn.ReLU(), nn.AdaptiveMaxPool1d(1), nn.Flatten()
        self.body, self.head = nn.Sequential(*layers), nn.Linear(8, n_classes)

    def forward(self, x):
        return self.head(self.body(x))


def small_trial(words=("scratch", "full"), recipe=SHORT, **how):
    source, target = simulate_world(1.0, n_source=40, n_target=24, seed=0)
    once = (holdout(source.groups, source.labels),)
    folds = tuple(grouped_kfold(target.groups, target.labels, 2))
    first = Task("source", source, once, recipe)
    wanted = Task("target", target, folds, recipe)
    arms = arms_named(words, first)
    return Trial("recommended", WorldNet, wanted, arms, **{"double_cap": False, **how})


def test_each_fold_starts_from_the_source_seed_that_its_column_names(tmp_path):
    trial = small_trial(("scratch", "full", "shuffled source"), source_seeds=(7, 8, 9))
    result = trial.run(tmp_path / "three")
    p = result.predictions
    assert p[p.arm == "scratch"].source_seed.unique().tolist() == [0]
    for arm in ("full", "shuffled source"):
        assert p[p.arm == arm].drop_duplicates("fold").source_seed.tolist() == [7, 8]
    source = result.source_predictions
    assert set(source[source.arm == "scratch"].seed) == {7, 8}  # no fold is left for 9
    jobs = result.jobs[result.jobs.task == "source"]
    assert jobs.groupby("arm").size().to_dict() == {"scratch": 2, "shuffled source": 2}
    file = save_predictions(p, tmp_path / "p.parquet")
    assert load_predictions(file).source_seed.tolist() == p.source_seed.tolist()
    second = replace(trial.target, splits=trial.target.splits[1:])
    alone = replace(trial, target=second, arms=trial.arms[1:], source_seeds=(8,), baseline="")
    rows = p[(p.source_seed == 8) & (p.fold == 1)].reset_index(drop=True)
    other = alone.run(tmp_path / "alone").predictions
    pd.testing.assert_frame_equal(rows, other.reset_index(drop=True), check_exact=True)


def test_another_source_seed_is_another_pre_training(tmp_path):
    trial = small_trial(("scratch", "full"))
    one = trial.run(tmp_path).predictions
    assert set(one[one.arm == "full"].source_seed) == {0}  # that of the trial
    two = replace(trial, source_seeds=(1,)).run(tmp_path).predictions
    same = one.p_present == two.p_present
    assert same[one.arm == "scratch"].all()
    assert not same[one.arm == "full"].all()


def test_whoever_is_short_is_trained_again_sources_first(tmp_path):
    "At a small learning rate the loss falls up to the cap, whatever the start."
    recipe = replace(SHORT, max_updates=30, lrs=(1e-3,))
    trial = small_trial(("scratch", "full"), recipe, double_cap=True)
    result = trial.run(tmp_path)
    budget = budget_table(result.jobs).set_index(["task", "arm"])
    assert budget.cap.tolist() == [60] * 3
    assert budget.rerun.all()
    improving = budget.by_patience < 0.8
    assert (budget.still_short == "yes").tolist() == improving.tolist()
    names = {("source", "scratch"): "source", ("target", "scratch"): "scratch"}
    expected = [names.get(key, key[1]) for key in budget.index[improving]]
    assert list(result.short) == expected
    # the longer source is the one that `full` starts from
    store = JobStore(tmp_path / "jobs")
    longer = [f for f in store.folder.glob("source-*.json") if "body" not in f.name]
    assert len(longer) == 2
    once = small_trial(("full",), trial.target.recipe).source
    longest = replace(once, recipe=replace(once.recipe, max_updates=60))
    target = replace(trial.target, recipe=longest.recipe)
    alone = replace(
        trial,
        arms=(Arm(trained_on(longest)),),
        sources=(),
        target=target,
        double_cap=False,
        baseline="",
    )
    found = alone.run(tmp_path / "alone").predictions
    full = result.predictions[result.predictions.arm == "full"]
    assert found.p_present.tolist() == full.p_present.tolist()


def test_one_choice_of_rate_for_all_folds(tmp_path):
    recipe = replace(SHORT, max_updates=60, lrs=(1e-5, 1e-2, 10.0), candidate_share=0.5)
    trial = small_trial(("scratch", "frozen"), recipe)
    result = trial.run(tmp_path)
    fits = result.jobs[result.jobs.network]
    assert fits.groupby(["task", "arm"]).lr.nunique().eq(1).all()
    assert {len(r) for r in fits.rates} <= {3, 4, 5}
    files = [f.name for f in (tmp_path / "jobs").glob("*.json") if "body" not in f.name]
    tried = len(files) - len(result.jobs)
    assert tried == sum(1 + extended for extended in rate_table(result.jobs).extended)
    again = trial.run(tmp_path)
    assert again.predictions.equals(result.predictions)
    # the first fold chooses as a training that tries its own rates does
    alone = replace(trial.target, splits=trial.target.splits[:1])
    chosen = replace(trial, target=alone).run(tmp_path / "alone").jobs
    both = chosen[chosen.network].set_index(["task", "arm"]).lr
    assert both.equals(fits.drop_duplicates(["task", "arm"]).set_index(["task", "arm"]).lr)


def study_recipes(preset):
    "Name -> recipe of each task of the five studies."

    def p(study):
        return resolve(study, {"preset": preset})

    mitbih, ctg, icentia = p("mitbih_ptb"), p("ctg_ne"), p("icentia_af")
    ptbxl, head = p("ptbxl_g12ec"), p("fetal_head")
    cohort = simulate_world(n_source=10, n_target=10)[1]
    return {
        "mitbih_ptb, source": mitbih_ptb.source_recipe(mitbih, 40_000),
        "mitbih_ptb, target": mitbih_ptb.target_recipe(mitbih, "recommended"),
        "ctg_ne, source": ctg_ne.recipe(ctg, ctg["pretrain_updates"]),
        "ctg_ne, target": ctg_ne.recipe(ctg, ctg["max_updates"]),
        "icentia_af, source": icentia_af.recipe(icentia, icentia["pretrain_updates"]),
        "icentia_af, target": icentia_af.recipe(icentia, icentia["max_updates"]),
        "icentia_af, published": icentia_af.published_recipe(icentia),
        "ptbxl_g12ec": ptbxl_g12ec.recipe(ptbxl, 2000, cohort),
        "fetal_head, source": head_arms.recipe(head, head["pretrain_updates"]),
        "fetal_head, target": head_arms.recipe(head),
        "fetal_head, published": head_arms.published_recipe(head, 500),
    }


class Flat(nn.Module):
    "Its output is constant, and has a gradient of 0."

    def __init__(self, n_classes):
        super().__init__()
        self.body, self.head = nn.Flatten(), nn.Linear(64, n_classes)

    def forward(self, x):
        return 0 * self.head(self.body(x))


def test_patience_can_end_a_training_in_every_study():
    for preset in ("quick", "full"):
        for name, recipe in study_recipes(preset).items():
            recipe.check_patience(f"{name}, {preset}")


def test_a_flat_loss_is_never_short_of_updates_in_any_study(tmp_path):
    "An interval is one update here; steps beyond those that patience needs make no difference."
    found = {}
    for preset in ("quick", "full"):
        for name, recipe in study_recipes(preset).items():
            needed = recipe.patience + 2
            steps = recipe.validation_steps if recipe.annealed else needed
            found[recipe.schedule, min(steps, needed), recipe.patience] = name
    assert len(found) > 3
    for (schedule, steps, patience), name in found.items():
        cheap = replace(SHORT, max_updates=steps, check_every=1, patience=patience)
        trial = small_trial(("scratch",), replace(cheap, schedule=schedule), double_cap=True)
        first = replace(trial.target, splits=trial.target.splits[:1])
        result = replace(trial, target=first, network=Flat).run(tmp_path / f"{schedule} {patience}")
        assert result.short == (), name
        assert result.jobs.rerun.tolist() == [False], name
        expected = steps if cheap.schedule != schedule else patience + 1
        assert result.jobs.updates.tolist() == [expected], name


def test_a_trial_refuses_a_patience_that_comes_after_the_cap(tmp_path):
    recipe = replace(SHORT, max_updates=120, check_every=15, patience=8)
    with pytest.raises(ConfigError, match=r"task 'source': patience can never end a training"):
        small_trial(("full",), recipe, double_cap=True).run(tmp_path)
    assert not list(tmp_path.iterdir())  # refused before anything is trained


def test_an_annealed_training_is_judged_by_twice_its_updates(tmp_path):
    recipe = replace(SHORT, max_updates=30, schedule="cosine")
    result = small_trial(("scratch",), recipe, double_cap=True).run(tmp_path)
    budget = budget_table(result.jobs).iloc[0]
    assert budget.rerun  # 30 updates are far too few for this world
    assert budget.cap == 60
    untested = small_trial(("scratch",), recipe).run(tmp_path)
    assert budget_table(untested.jobs).still_short.tolist() == ["not tested"]
    assert untested.short == ()
