"""LoRA on a trained CNN-LSTM: the merge is exact and frozen statistics stay.

A network without LoRA takes the merged weights.
"""

import pytest
import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from biosig_nb.learn.adapt import adapt, build, merge_lora
from biosig_nb.learn.arms import FROZEN, adaptation, lora
from biosig_nb.learn.fit import fit_once
from biosig_nb.learn.recipe import Examples, Recipe
from biosig_nb.models.beat_nets import BeatCNN
from biosig_nb.models.cnn_lstm import CNNLSTM

RECIPE = Recipe(max_updates=12, batch_size=16, check_every=4, patience=9, warmup=2)


def small(n):
    return CNNLSTM(n, widths=(4, 8, 8), lstm=12, hidden=6)


def dips(n, seed, mean=0.0):
    """Recordings with a dip late or early.

    `mean` shifts all channels, so that the target's statistics differ from the source's.
    """
    g = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 2
    t = torch.arange(256.0)
    x = 0.5 * torch.randn(n, 4, 256, generator=g) + mean
    x[:, 0] -= 2 * torch.exp(-0.5 * ((t - torch.where(y == 1, 200.0, 50.0)[:, None]) / 12) ** 2)
    return Examples(x, y[:, None].float(), torch.ones(n))


@pytest.fixture(scope="module")
def body():
    return fit_once(
        build(small, 1, 1), dips(64, 0), dips(32, 1), RECIPE, 1e-2
    ).net.body.state_dict()


def trained(arm, body, rank=4):
    return fit_once(
        adapt(adaptation(arm, rank), small, 1, body),
        dips(32, 2, 1.0),
        dips(32, 3, 1.0),
        RECIPE,
        1e-2,
    ).net.eval()


@pytest.mark.parametrize("rank", [1, 4, 16])
def test_merge_is_exact_after_the_real_training_loop(body, rank):
    net = trained("lora", body, rank).double()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    plain = merge_lora(net)
    g = torch.Generator().manual_seed(4)
    x = torch.randn(9, 4, 300, generator=g, dtype=torch.float64)
    with torch.no_grad():
        assert (plain(x) - net(x)).abs().max() < 1e-10
        # training changed the body
        frozen = adapt(FROZEN, small, 1, body).double().eval()
        frozen.head.load_state_dict(plain.head.state_dict())
        assert (plain(x) - frozen(x)).abs().max() > 1e-6
        # the merged weights need no peft
        again = small(1).double().eval()
        again.load_state_dict(plain.state_dict())
        assert torch.equal(again(x), plain(x))
    assert not any(isinstance(m, BaseTunerLayer) for m in plain.modules())
    assert [k for k, _ in plain.named_parameters()] == [k for k, _ in small(1).named_parameters()]
    # the network given stays as it was
    assert all(torch.equal(v, net.state_dict()[k]) for k, v in before.items())


def test_every_kind_of_weight_moved(body):
    plain = merge_lora(trained("lora", body))
    moved = {k for k, v in plain.body.state_dict().items() if not torch.equal(v, body[k])}
    assert moved == {
        "0.0.weight",
        "1.0.weight",
        "2.0.weight",
        "3.lstm.weight_ih_l0",
        "3.lstm.weight_hh_l0",
        "5.weight",
    }


def test_merged_network_trains_on(body):
    plain = merge_lora(trained("lora", body))
    opt = torch.optim.SGD(plain.parameters(), 0.1)
    before = {k: v.clone() for k, v in plain.named_parameters()}
    plain.train()(dips(16, 5).x).square().sum().backward()
    opt.step()
    still = {k for k, v in plain.named_parameters() if torch.equal(v, before[k])}
    assert not still, f"no gradient reached {still}"


@pytest.mark.parametrize(
    "rnn", [dict(num_layers=2), dict(bidirectional=True), dict(num_layers=2, bidirectional=True)]
)
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_merge_of_deeper_recurrent_layers(kind, rnn):
    class Deep(nn.Module):
        def __init__(self, n):
            super().__init__()
            self.body = nn.ModuleDict({"rnn": kind(3, 5, batch_first=True, **rnn)})
            self.head = nn.Linear(5 * (1 + rnn.get("bidirectional", False)), n)

        def forward(self, x):
            return self.head(self.body["rnn"](x.mT)[0][:, -1])

    net = adapt(lora(4), Deep, 1, build(Deep, 1, 0).body.state_dict()).double().eval()
    with torch.no_grad():
        for k, p in net.named_parameters():
            if "lora_B" in k:
                p.normal_(generator=torch.Generator().manual_seed(len(k)))
        x = torch.randn(2, 3, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        start = adapt(FROZEN, Deep, 1, build(Deep, 1, 0).body.state_dict()).double().eval()
        assert (net(x) - start(x)).abs().max() > 1e-3
        plain = merge_lora(net)
        assert (plain(x) - net(x)).abs().max() < 1e-10
    assert [k for k, _ in plain.named_parameters()] == [k for k, _ in Deep(1).named_parameters()]


@pytest.mark.parametrize("arm", ["frozen", "lora", "norm", "full"])
def test_running_statistics_move_only_where_the_arm_says(body, arm):
    net = merge_lora(trained(arm, body))
    stats = [k for k in body if "running" in k or "batches" in k]
    same = [torch.equal(net.body.state_dict()[k], body[k]) for k in stats]
    assert len(stats) == 9
    assert all(same) if arm in ("frozen", "lora") else not any(same)
    weights = {
        k
        for k, v in net.body.state_dict().items()
        if k not in stats and not torch.equal(v, body[k])
    }
    if arm == "frozen":
        assert not weights
    if arm == "norm":
        assert weights == {f"{i}.1.{p}" for i in range(3) for p in ("weight", "bias")}


def test_merge_without_lora_is_a_copy():
    net = BeatCNN(1).eval()
    plain = merge_lora(net)
    x = torch.rand(2, 1, 187)
    assert torch.allclose(net(x), plain(x), atol=1e-7)
    assert plain is not net
    assert all(p.requires_grad for p in plain.parameters())
