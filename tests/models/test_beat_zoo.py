"""The beat networks in a transfer: files, arms, half precision; and the ends of real beats."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from biosig_nb.errors import ConfigError, DataError
from biosig_nb.learn.adapt import NORMS, adapt, build, merge_lora
from biosig_nb.learn.arms import adaptation
from biosig_nb.learn.fit import fit_once
from biosig_nb.learn.recipe import Examples, Recipe
from biosig_nb.learn.weights import load_body, put_body, save_body
from biosig_nb.models.beat_autoencoder import BeatAutoencoder, reconstruction_losses
from biosig_nb.models.beat_resnet import BeatResNet
from biosig_nb.models.beat_zoo import BEAT_NETS, beat_net
from biosig_nb.models.masked_recurrent import beat_lengths

DATA = Path(os.environ.get("BIOSIG_DATA") or "/nonexistent")
MITDB = DATA / "mitdb" / "1.0.0"
# the networks left out have the same layers
NAMES = [
    n
    for n in BEAT_NETS
    if n not in ("resnet398", "cnn_wide_head", "vanilla_cnn_small", "rnn_small")
]
RECIPE = Recipe(max_updates=4, batch_size=8, check_every=2, patience=9, warmup=1)


def make(name: str):
    "Number of outputs -> a network of that name, the residual one with as few layers as possible."
    return lambda n: BeatResNet(n, 11) if name == "resnet101" else beat_net(name, n)


def beats(n: int, seed: int, name: str) -> torch.Tensor:
    """Noise in [0, 1], 60 to 150 samples, zeros behind.

    Three intervals are appended for the network that takes them.
    """
    g = torch.Generator().manual_seed(seed)
    x = 0.01 + 0.99 * torch.rand(n, 1, 187, generator=g)
    x = x * (torch.arange(187) < torch.randint(60, 150, (n, 1, 1), generator=g))
    if name == "cnn_intervals":
        return torch.cat([x, torch.randn(n, 1, 3, generator=g)], dim=2)
    return x


def examples(n: int, seed: int, name: str) -> Examples:
    return Examples(beats(n, seed, name), torch.arange(n) % 2, torch.ones(n))


@pytest.mark.parametrize("name", NAMES)
def test_body_in_a_file_and_back(name, tmp_path):
    source, target = build(make(name), 5, 0), build(make(name), 1, 1)
    source(beats(8, 0, name))  # running statistics other than at the start
    card = save_body(source, tmp_path / "body.safetensors", {"data": "noise"})
    assert card["network"] == source.name
    put_body(target, load_body(tmp_path / "body.safetensors")[0])
    x = beats(3, 1, name)
    assert torch.equal(source.eval().body(x), target.eval().body(x))
    assert target(x).shape == (3, 1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("arm", ("scratch", "frozen", "norm", "lora", "full", "gradual"))
def test_arms_train(name, arm):
    body = build(make(name), 5, 0).body.state_dict()
    how = adaptation("full" if arm == "scratch" else arm)
    if arm == "norm" and not any(isinstance(m, NORMS) for m in make(name)(2).body.modules()):
        with pytest.raises(ConfigError, match="no normalisation layer"):
            adapt(how, make(name), 2, body)
        return
    net = adapt(how, make(name), 2, None if arm == "scratch" else body)
    start = {k: v.clone() for k, v in net.body.state_dict().items()}
    fit = fit_once(net, examples(16, 2, name), examples(8, 3, name), RECIPE, 1e-2)
    moved = any(not torch.equal(v, start[k]) for k, v in fit.net.body.state_dict().items())
    assert np.isfinite(fit.best_loss)
    # gradual: the best validation step may be in the stage that trains only the head
    if arm != "gradual":
        assert moved == (arm != "frozen")
    if arm == "lora":
        x, plain = beats(4, 4, name), merge_lora(fit.net)
        with torch.no_grad():
            assert torch.allclose(plain.eval()(x), fit.net.eval()(x), atol=1e-5)
        make(name)(2).load_state_dict(plain.state_dict(), strict=True)


def lstm_in_bf16():
    "oneDNN has no LSTM in bf16 for processors without AVX-512; `auto` trains in 32 bits there."
    try:
        with torch.autocast("cpu", torch.bfloat16):
            torch.nn.LSTM(2, 2)(torch.randn(1, 1, 2))
    except RuntimeError:
        return False
    return True


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_and_an_empty_beat(name):
    net, x = build(make(name), 3, 0), beats(4, 5, name)
    x[0] = 0
    if any(isinstance(m, torch.nn.LSTM) for m in net.modules()) and not lstm_in_bf16():
        pytest.skip("this processor has no LSTM in bf16")
    with torch.autocast("cpu", torch.bfloat16):
        out = net(x)
    out.float().square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.requires_grad)
    assert (net.eval()(x) - out).abs().max() < np.inf


@pytest.mark.parametrize("name", NAMES)
def test_one_beat_does_not_see_the_others(name):
    net, x = build(make(name), 3, 0).eval(), beats(5, 6, name)
    with torch.no_grad():
        assert torch.allclose(net(x), torch.cat([net(b[None]) for b in x]), atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_wrong_shapes_are_named(name):
    for x in (torch.zeros(2, 187), torch.zeros(2, 2, 187), torch.zeros(2, 187, 1)):
        with pytest.raises(
            DataError, match=r"expects? beats \[batch, 1, time|found|expects \[batch, 1"
        ):
            beat_net(name)(x)


def scaled_beats():
    "Beats of two records, scaled as published [n, 1, time], and the real samples of each."
    from biosig_nb.data.databases.mitdb import mitdb_beats
    from biosig_nb.signals.beats import scale_rows

    c = mitdb_beats(MITDB, ["100", "208"])
    x = scale_rows(c.signals[:, 0], c.mask, c.table.low, c.table.high)
    return torch.from_numpy(x[:, None]), c.mask.sum(axis=1)


@pytest.mark.realdata
@pytest.mark.skipif(not MITDB.is_dir(), reason="BIOSIG_DATA holds no mitdb/1.0.0")
def test_real_beats_end_where_the_mask_says():
    "The end of a beat, found from its trailing zeros, agrees with the cohort's mask."
    beats, real = scaled_beats()
    found = beat_lengths(beats).numpy()
    # a beat may end at its lowest point, clipped to zero
    assert (found <= real).all()
    assert (found == real).mean() > 0.99
    assert (real - found).max() < 20


@pytest.mark.realdata
@pytest.mark.skipif(not MITDB.is_dir(), reason="BIOSIG_DATA holds no mitdb/1.0.0")
def test_autoencoder_reconstructs_real_beats_better_than_their_mean():
    x = scaled_beats()[0][::8]
    train, test = x[::2], x[1::2]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = BeatAutoencoder()
        opt = torch.optim.Adam(net.parameters(), 2e-3)
        for _ in range(120):
            b = train[torch.randint(len(train), (32,))]
            loss = reconstruction_losses(net(b), b).mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
    mean = train.mean(0).clamp(1e-3, 1 - 1e-3).logit().expand_as(test)[:, 0]
    with torch.no_grad():
        # a perfect reconstruction: the entropy of the samples
        floor = reconstruction_losses(test[:, 0].logit(eps=1e-6), test).mean()
        excess = reconstruction_losses(net(test), test).mean() - floor
        excess_of_mean = reconstruction_losses(mean, test).mean() - floor
    assert excess < 0.5 * excess_of_mean
