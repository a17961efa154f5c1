"""The twelve-lead networks in a transfer: files, arms, parameter groups."""

import pytest
import torch

from biosig_nb.errors import ConfigError, DataError
from biosig_nb.learn.adapt import adapt, merge_lora
from biosig_nb.learn.arms import adaptation
from biosig_nb.learn.schedules import layer_groups
from biosig_nb.learn.weights import load_body, put_body, save_body
from biosig_nb.models.ecg_nets import NETWORKS, ecg_net

# the networks left out have the blocks of 18 and 50
NAMES = [n for n in NETWORKS if n not in ("xresnet1d34", "xresnet1d101")]


def make(name: str):
    "Number of outputs -> a network of that name."
    return lambda n: ecg_net(name, n)


@pytest.mark.parametrize("name", NAMES)
def test_body_in_a_file_and_back(name, tmp_path):
    torch.manual_seed(0)
    source, target = ecg_net(name, 44), ecg_net(name, 18)
    source(torch.randn(8, 12, 64))  # running statistics other than at the start
    card = save_body(source, tmp_path / "body.safetensors", {"data": "noise"})
    assert card["network"] == name
    put_body(target, load_body(tmp_path / "body.safetensors")[0])
    x = torch.randn(3, 12, 64)
    assert torch.equal(source.eval().body(x), target.eval().body(x))
    assert target(x).shape == (3, 18)
    with pytest.raises(DataError, match="do not fit"):
        put_body(ecg_net(name, 18, n_leads=8), load_body(tmp_path / "body.safetensors")[0])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("arm", ("frozen", "norm", "lora", "full"))
def test_arms_change_what_they_may(name, arm):
    torch.manual_seed(0)
    source = ecg_net(name, 5)
    for m in source.body.modules():
        # as after training: no block is the identity
        if isinstance(m, torch.nn.BatchNorm1d):
            m.weight.data.uniform_(0.5, 1.5)
    body = source.body.state_dict()
    if arm == "norm" and "lstm" in name:
        with pytest.raises(ConfigError, match="no normalisation layer"):
            adapt(adaptation(arm), make(name), 3, body)
        return
    net = adapt(adaptation(arm), make(name), 3, body)
    before = {k: v.detach().clone() for k, v in net.named_parameters()}
    opt = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], 1e-3)
    # the second update changes weights whose gradient was zero in the first
    for _ in range(2):
        opt.zero_grad()
        net(torch.randn(4, 12, 64)).square().mean().backward()
        opt.step()
    moved = {k for k, v in net.named_parameters() if not torch.equal(v, before[k])}
    assert moved == {k for k, v in net.named_parameters() if v.requires_grad}
    inside = {k for k in moved if k.startswith("body.")}
    if arm == "frozen":
        assert not inside
    if arm == "full":
        assert len(inside) == len(list(net.body.parameters()))
    if arm == "lora":
        assert inside
        assert all("lora_" in k for k in inside)
    if arm == "norm":
        assert inside
        assert all(before[k].ndim == 1 for k in inside)
    plain = merge_lora(net.double()).eval()
    x = torch.randn(3, 12, 64, dtype=torch.float64)
    torch.testing.assert_close(plain(x), net.eval()(x), rtol=1e-9, atol=1e-9)
    assert set(dict(plain.body.named_parameters())) == set(
        dict(ecg_net(name, 3).body.named_parameters())
    )


@pytest.mark.parametrize("name", list(NETWORKS))
def test_groups_of_gradual_fine_tuning(name):
    net = ecg_net(name, 3)
    lower, upper, head = layer_groups(net)
    assert {id(p) for p in head} == {id(p) for p in net.head.parameters()}
    for p in upper + head:
        p.requires_grad_(False)
    net(torch.randn(4, 12, 64)).square().sum().backward()
    assert all(p.grad is not None for p in lower)
    first = next(net.body.parameters())
    # the first layer is in the lower part
    assert any(first is p for p in lower)
    assert all(first is not p for p in upper)


def test_same_seed_same_start():
    for name in NAMES:
        torch.manual_seed(3)
        a = ecg_net(name, 2)
        torch.manual_seed(3)
        b = ecg_net(name, 2)
        assert all(
            torch.equal(v, w) for v, w in zip(a.state_dict().values(), b.state_dict().values())
        )
