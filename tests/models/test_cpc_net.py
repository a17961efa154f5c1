"""Contrastive predictive coding: body, scores of the candidates, and training by `learn`."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from biosig_nb.data.cohort import Cohort
from biosig_nb.errors import ConfigError, DataError
from biosig_nb.learn.adapt import adapt, build
from biosig_nb.learn.arms import adaptation, arms_named
from biosig_nb.learn.fit import fit_once, predict
from biosig_nb.learn.recipe import Examples, Recipe
from biosig_nb.learn.splits import Split
from biosig_nb.learn.task import Task
from biosig_nb.learn.trial import Trial
from biosig_nb.learn.weights import load_body, put_body, save_body
from biosig_nb.models.counting import count_parameters
from biosig_nb.models.cpc_net import CPCHead, CPCNet
from biosig_nb.models.resnet_v2 import ResNet18, ResNet34, ResNet50


class Tiny(nn.Module):
    "Sixteen features of one convolution."

    def __init__(self, n_classes):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(1, 16, 9, 2, bias=False),
            nn.BatchNorm1d(16),
            nn.ReLU(),
            nn.AdaptiveAvgPool1d(1),
            nn.Flatten(),
        )
        self.body.n_features = 16
        self.head = nn.Linear(16, n_classes)

    def forward(self, x):
        return self.head(self.body(x))


class Either(nn.Module):
    "CPC for three outputs, else a plain network, with the same `body`."

    def __new__(cls, outputs):
        if outputs == 3:
            return CPCNet(Tiny(outputs), outputs, context=3, cells=16)
        return Tiny(outputs)


def tones(n=360, seed=0, groups=12):
    "Examples whose segments are tones; the candidate that follows has the context's pitch."
    rng = np.random.default_rng(seed)
    t = np.arange(64)
    pitch, y = rng.uniform(0.1, 1.0, (n, 6)), rng.integers(0, 3, n)
    pitch[:, 1:3] = pitch[:, :1]
    pitch[np.arange(n), 3 + y] = pitch[:, 0]
    x = np.sin(pitch[..., None] * t + rng.uniform(0, 6.3, (n, 6, 1))).astype(np.float32)
    return x, y, rng.integers(0, groups, n)


def around(make, outputs):
    "CPC with a network's body."
    return CPCNet(make(outputs), outputs, 2, cells=8)


@pytest.mark.parametrize(
    "make",
    [
        ResNet18,
        partial(ResNet18, masked=True),
        partial(ResNet34, masked=True, preactivation=True),
        partial(ResNet50, masked=True),
        partial(ResNet18, ndim=2),
    ],
)
def test_body_of_any_residual_network(make, tmp_path):
    net, x = build(partial(around, make), 3, 1), torch.randn(2, 5, 512)
    out = net(x)
    out.logsumexp(1).sum().backward()
    assert out.shape == (2, 3)
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())
    # the weights are those of the plain network's body
    names = {k[5:] for k in net.state_dict() if k.startswith("body.")}
    assert names == set(make(4).body.state_dict())
    save_body(net, tmp_path / "cpc.safetensors", {"task": "CPC"})
    state, card = load_body(tmp_path / "cpc.safetensors")
    other = put_body(make(7), state)
    segments = torch.cat([x[:, 0, None], torch.ones(2, 1, 512)], 1) if net.masked else x[:, 0, None]
    torch.testing.assert_close(
        other.eval().body(segments), net.eval().features(x)[:, 0], rtol=1e-4, atol=1e-5
    )
    assert card["network"].endswith("CPC")
    assert card["parameters"] == count_parameters(make(4).body)[0]


@pytest.mark.parametrize("arm", ("frozen", "norm", "lora", "full", "gradual"))
def test_arms(arm):
    make = partial(around, partial(ResNet18, masked=True))
    net = adapt(adaptation(arm), make, 2, build(make, 2, 1).body.state_dict())
    assert net(torch.randn(2, 4, 256)).shape == (2, 2)
    assert all(p.requires_grad for p in net.head.parameters())
    assert any(p.requires_grad for p in net.body.parameters()) == (arm != "frozen")


def test_count():
    "GRU, linear layer and normalisation over 512 features, with 256 cells."
    net = CPCNet(ResNet18(4, masked=True), 4)
    head = 3 * 256 * (512 + 256 + 1) + 257 * 512 + 2 * 512
    assert count_parameters(net)[0] == count_parameters(ResNet18(4).body)[0] + head


def test_scores_of_candidates_are_independent():
    torch.manual_seed(0)
    net, x = CPCNet(Tiny(4), 4, cells=8).eval(), torch.randn(9, 8, 64)
    with torch.no_grad():
        logits = net(x)
    for order in ([3, 2, 1, 0], [1, 2, 3, 0]):
        found = predict(net, torch.cat([x[:, :4], x[:, 4:][:, order]], 1))
        torch.testing.assert_close(found, logits[:, order], rtol=1e-5, atol=1e-6)
    other = x.clone()
    other[:, 5:] = torch.randn(9, 3, 64)
    torch.testing.assert_close(predict(net, other)[:, 0], logits[:, 0], rtol=1e-5, atol=1e-6)
    # nor on the other examples
    torch.testing.assert_close(predict(net, x, 1), logits, rtol=1e-5, atol=1e-6)


def test_head_against_cells_step_by_step():
    torch.manual_seed(0)
    head, z = CPCHead(6, 3, cells=5), torch.randn(4, 5, 6)
    cell = nn.GRUCell(6, 5)
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in head.gru.state_dict().items()})
    n, h = torch.nn.functional.layer_norm(z, (6,)), torch.zeros(4, 5)
    for k in range(3):
        h = cell(n[:, k], h)
    expected = torch.einsum("bkf,bf->bk", n[:, 3:], head.ahead(h)) / 6**0.5
    torch.testing.assert_close(head(z), expected, rtol=1e-5, atol=1e-6)


def accuracy_after_training(x, labels, y):
    "Trained on `labels`; accuracy against y on examples that are not used in training."

    def examples(rows):
        tensors = torch.as_tensor(x[rows]), torch.as_tensor(labels[rows])
        return Examples(*tensors, torch.ones(len(x[rows])))

    recipe = Recipe(400, check_every=50, patience=8)
    train, validation, test = slice(0, 700), slice(700, 900), slice(900, None)
    net = fit_once(build(Either, 3, 0), examples(train), examples(validation), recipe, 1e-2).net
    return (predict(net, torch.as_tensor(x[test])).argmax(1).numpy() == y[test]).mean()


def test_learns_from_labels_and_not_from_shuffled_ones():
    x, y, _ = tones(1300)
    assert accuracy_after_training(x, y, y) > 0.6
    assert accuracy_after_training(x, np.random.default_rng(1).permutation(y), y) < 0.45


def test_a_trial_starts_from_it(tmp_path):
    "A trial pre-trains by CPC and trains a target task with another number of outputs."
    x, y, g = tones()
    about = dict(database="tones", version="", simulated=True, fingerprint="1", missing=[])
    recipe = Recipe(20, check_every=10, lrs=(1e-2,), patience=2)
    partitions = [np.flatnonzero(np.isin(g, k)) for k in (range(8), (8, 9), (10, 11))]

    def task(name, x, y, channels, labels):
        groups = np.array([f"{name}/{k}" for k in g])
        index = pd.Index([f"e{i}" for i in range(len(x))], name="example")
        table = pd.DataFrame({"patient": g}, index=index)
        cohort = Cohort(x, y, groups, table, 250.0, channels, labels, about).check()
        return Task(name, cohort, (Split(groups, *partitions, 0, 0, "patient"),), recipe)

    candidates = ("candidate 1", "candidate 2", "candidate 3")
    source = task("cpc", x, y, tuple("abcdef"), candidates)
    pitch = np.abs(np.fft.rfft(x[:, 0])).argmax(1)
    high = (pitch > np.median(pitch)).astype(int)
    target = task("pitch", x[:, :1], high, ("a",), ("low", "high"))
    arms = arms_named(["scratch", "full"], source)
    trial = Trial("recommended", Either, target, arms, double_cap=False, study="test")
    result = trial.run(tmp_path)
    assert set(result.predictions.arm) == {"scratch", "full"}
    assert len(result.source_predictions)
    state, card = load_body(next(tmp_path.rglob("*.safetensors")))
    put_body(Tiny(2), state)
    assert card["task"] == "cpc"
    assert card["channels"] == list("abcdef")


def test_errors_say_what_is_wrong():
    net = CPCNet(Tiny(4), 4, cells=8)
    for x in (torch.randn(2, 7, 64), torch.randn(8, 64), torch.randn(2, 1, 8, 64)):
        with pytest.raises(DataError, match="4 segments of context [+] 4 candidates"):
            net(x)
    with pytest.raises(ConfigError, match="takes 2 channels"):
        CPCNet(ResNet18(2, n_channels=2), 4)
    with pytest.raises(ConfigError, match="1 candidates"):
        CPCNet(Tiny(1), 1)
    with pytest.raises(ConfigError, match="has no `body`"):
        CPCNet(nn.Linear(2, 2), 3)
