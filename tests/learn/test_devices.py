"""A network trained in two processes: the same weights, history and end as in one.

Also after a stop in between; errors reach the caller unchanged.
"""

from dataclasses import replace

import pytest
import torch
from torch import nn

from biosig_nb.errors import ConfigError, DataError
from biosig_nb.learn.fit import fit_once
from biosig_nb.learn.recipe import Examples, Recipe

pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason="two processes on a CPU are tested where there is no GPU"
)
# 15: shares of 8 and 7
RECIPE = Recipe(max_updates=40, batch_size=15, check_every=10, patience=3, warmup=2)


class Plain(nn.Module):
    "No dropout, no batch normalisation: nothing that depends on the process."

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(1, 4, 9, padding=4), nn.ReLU(), nn.AdaptiveMaxPool1d(4), nn.Flatten()
        )
        self.head = nn.Linear(16, 2)

    def forward(self, x):
        return self.head(self.body(x))


def plain():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Plain()


def bumps(n, seed, size=40):
    """Early or late bumps.

    The weights are very unequal, so that a mean of the processes' means would be wrong.
    """
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 2, (n,), generator=g)
    at = torch.randint(5, 15, (n,), generator=g) + 20 * y
    bump = torch.exp(-0.5 * ((torch.arange(size)[None] - at[:, None]) / 2) ** 2)
    x = bump + 0.5 * torch.randn(n, size, generator=g)
    return Examples(x[:, None], y, 10 * torch.rand(n, generator=g) ** 4 + 0.01)


def run(devices, recipe=RECIPE, lr=1e-2, **how):
    return fit_once(plain(), bumps(90, 0), bumps(41, 1), recipe, lr, devices=devices, **how)


def same(a, b):
    assert (a.updates, a.stopped) == (b.updates, b.stopped)
    assert a.history.shape == b.history.shape
    assert abs(a.history - b.history).max(axis=None) < 1e-5
    assert abs(a.best_score - b.best_score) < 1e-5
    for p, q in zip(a.net.parameters(), b.net.parameters()):
        assert (p - q).abs().max() < 1e-5


def updates_in(folder):
    "Updates of a checkpoint."
    return torch.load(folder / "last.ckpt", weights_only=True)["global_step"]


def test_two_processes_take_up_and_end_as_one_does(monkeypatch, tmp_path):
    recipe = replace(RECIPE, crop=32, stop_on="validation_macro_f1")
    run(1, recipe, budget=10, folder=tmp_path)  # a quarter of it, with a checkpoint
    assert updates_in(tmp_path) == 10
    monkeypatch.setenv("BIOSIG_DEVICES", "2")
    two = run(None, recipe, folder=tmp_path)
    assert updates_in(tmp_path) == 40
    assert (two.updates, two.stopped) == (40, "cap")
    same(run(1, recipe), two)


def test_two_processes_stop_when_one_does():
    recipe = replace(RECIPE, stop_on="train_accuracy", max_updates=200, patience=2)
    one = run(1, recipe, lr=3e-2)
    assert one.stopped == "patience"
    same(one, run(2, recipe, lr=3e-2))


def test_the_error_of_a_loss_that_is_not_finite():
    "The message is that of one process."
    when = r"at update \d+ \(learning rate 1e\+30\)"
    message = rf"^the training loss became nan {when}; try a smaller one$"
    with pytest.raises(DataError, match=message):
        run(2, lr=1e30)


def test_batch_normalisation_is_refused_without_gpus():
    x, net = bumps(41, 1), nn.Sequential(nn.Conv1d(1, 2, 3), nn.BatchNorm1d(2))
    with pytest.raises(ConfigError, match="batch normalisation over several processes needs GPUs"):
        fit_once(net, x, x, RECIPE, 1e-2, devices=2)
