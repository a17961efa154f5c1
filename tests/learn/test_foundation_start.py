"""A foundation model as a start: import, arms and controls of a whole trial, at a small size."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from biosig_nb.data.simulate.world import simulate_world
from biosig_nb.errors import ConfigError
from biosig_nb.evaluate.transfer.permutations import permutation_row
from biosig_nb.learn.arms import (
    ATTENTIVE,
    FROZEN,
    LINEAR,
    NORM,
    RANDOM,
    Arm,
    from_weights,
    shuffled,
    trained_on,
)
from biosig_nb.learn.body_features import BodyFeatures
from biosig_nb.learn.controls import permuted_predictions
from biosig_nb.learn.frozen_head import frozen_head
from biosig_nb.learn.recipe import Recipe
from biosig_nb.learn.splits import grouped_kfold, holdout
from biosig_nb.learn.task import Task
from biosig_nb.learn.transforms import Standardise
from biosig_nb.learn.trial import Trial
from biosig_nb.learn.weights import save_body
from biosig_nb.models.builders import build
from biosig_nb.models.foundation.importer import convert
from biosig_nb.models.foundation.published import PUBLISHED

SIZE = [16, (16, 32), (1, 1), 8, 8]  # ECGFounder with a few thousand parameters
OPTIONS = {"n_leads": 1, "size": SIZE}
NETWORK = partial(build, "ecgfounder", n_leads=1, size=tuple(SIZE))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    "A file as ECGFounder's authors publish theirs, imported and saved with its card."
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    net = build("ecgfounder", 150, OPTIONS | {"norms": True})
    head = {f"dense.{k}": v for k, v in net.head.state_dict().items()}
    torch.save({"state_dict": net.body.state_dict() | head}, folder / "published.pth")
    state, card = convert(
        folder / "published.pth", replace(PUBLISHED["ecgfounder-1lead"], options=OPTIONS)
    )
    ours = build("ecgfounder", 1, OPTIONS)
    ours.body.load_state_dict(state)
    save_body(ours, folder / "small.safetensors", card)
    return folder / "small.safetensors"


@pytest.fixture(scope="module")
def trial(weights):
    "Probes of the file, the random frozen control, a source and its shuffled labels."
    source, target = simulate_world(1.0, n_source=16, n_target=16, seed=0)
    recipe = Recipe(
        max_updates=8, batch_size=8, lrs=(1e-2,), check_every=4, patience=1, warmup=1, average=0.5
    )
    first = Task("source", source, (holdout(source.groups, source.labels),), recipe, Standardise())
    folds = tuple(grouped_kfold(target.groups, target.labels, 2))
    start = from_weights("small", weights)
    how = (FROZEN, LINEAR, ATTENTIVE)
    arms = (
        Arm(),
        Arm(RANDOM, FROZEN),
        *(Arm(start, a) for a in how),
        Arm(trained_on(first), FROZEN, "source frozen"),
        Arm(shuffled(first)),
    )
    wanted = Task("target", target, folds, recipe, Standardise())
    return Trial("recommended", NETWORK, wanted, arms, double_cap=False)


@pytest.fixture(scope="module")
def finished(trial, tmp_path_factory):
    "The trial's folder, and how many examples the bodies of frozen arms have seen."
    from biosig_nb.learn import body_features

    folder, seen, run_body = tmp_path_factory.mktemp("run"), [], body_features.run_body
    patch = pytest.MonkeyPatch()
    patch.setattr(body_features, "run_body", lambda b, x: seen.append(len(x)) or run_body(b, x))
    predictions = trial.run(folder)
    patch.undo()
    return folder, seen, predictions


def test_every_arm_predicts_and_the_control_is_a_control(finished):
    predictions = finished[2]
    predictions = getattr(predictions, "predictions", predictions)
    roles = predictions.groupby("arm").role.first().to_dict()
    assert roles["random frozen"] == "control"
    assert roles["shuffled source"] == "control"
    assert {"scratch", "frozen", "linear", "attentive"} <= set(roles)
    p = predictions.filter(like="p_").to_numpy()
    assert np.isfinite(p).all()


def test_bodies_of_frozen_arms_run_once_over_each_example(finished, trial):
    "Random and source bodies, that of the file and its sequence, each under two scalings."
    folder, seen, _ = finished
    passes = [n for n in seen if n > 1]  # one example: to know the shape
    assert 0 < len(passes) <= 4 * 2
    assert max(passes) == len(trial.target.cohort)
    assert list((folder / "jobs" / "cache").glob("*.rows"))


def test_features_of_weights_are_found_by_another_run(finished, monkeypatch):
    from biosig_nb.learn import body_features
    from biosig_nb.learn.jobs import JobStore

    net = NETWORK(1)
    x = torch.randn(6, 1, 64)
    folder = finished[0] / "shared"
    monkeypatch.setenv("BIOSIG_CACHE", str(folder))
    first = JobStore(finished[0]).features.of(net.body, x, on_disk=True)
    ran, run_body = [], body_features.run_body
    monkeypatch.setattr(
        body_features, "run_body", lambda b, x: ran.append(len(x)) or run_body(b, x)
    )
    assert torch.equal(BodyFeatures(folder).of(net.body, x, on_disk=True), first)
    assert ran == [1]  # to know the shape


def test_permuted_labels_tell_nothing_through_a_foundation_body(trial, finished):
    head = frozen_head(trial, finished[0], "frozen")
    row = permutation_row(permuted_predictions(trial.target, head, 20))
    assert abs(row["mean"] - 0.5) < 0.12


def test_a_body_without_normalisation_has_no_norm_arm():
    from biosig_nb.learn.adapt import adapt

    with pytest.raises(ConfigError, match="adaptation 'norm'.*leave this arm out"):
        adapt(NORM, NETWORK, 1)
