"""The network over frames in a transfer: arms, files, parameter groups."""

import pytest
import torch

from biosig_nb.learn.adapt import adapt, merge_lora
from biosig_nb.learn.arms import adaptation
from biosig_nb.learn.schedules import layer_groups
from biosig_nb.learn.weights import load_body, put_body, save_body
from biosig_nb.models.frame_lstm import KerasLSTM, frame_net


def make(n: int):
    "A small recurrent network; as many outputs as frames."
    return frame_net("frame_lstm", n, 20)


def test_body_in_a_file_and_back(tmp_path):
    torch.manual_seed(0)
    # the weights do not depend on the number of frames
    source, target = make(8), make(5)
    source(torch.randn(16, 20, 8))  # running statistics other than at the start
    card = save_body(source, tmp_path / "body.safetensors", {"data": "noise"})
    assert card["network"] == "frame_lstm"
    put_body(target, load_body(tmp_path / "body.safetensors")[0])
    x = torch.randn(3, 20, 5)
    assert torch.equal(source.eval().body(x), target.eval().body(x))
    assert target(x).shape == (3, 5)


@pytest.mark.parametrize("arm", ("frozen", "norm", "lora", "full", "gradual"))
def test_arms_change_what_they_may(arm):
    torch.manual_seed(0)
    body = make(8).body.state_dict()
    net = adapt(adaptation(arm), make, 8, body)
    before = {k: v.detach().clone() for k, v in net.named_parameters()}
    opt = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], 1e-2)
    # the second update changes weights whose gradient was zero in the first
    for _ in range(2):
        opt.zero_grad()
        net(torch.randn(4, 20, 8)).square().mean().backward()
        opt.step()
    moved = {k for k, v in net.named_parameters() if not torch.equal(v, before[k])}
    assert moved == {k for k, v in net.named_parameters() if v.requires_grad}
    inside = {k for k in moved if k.startswith("body.")}
    if arm == "frozen":
        assert not inside
    if arm == "full":
        assert len(inside) == len(list(net.body.parameters()))
    if arm == "norm":
        assert inside
        assert all(before[k].ndim == 1 for k in inside)
    # input and state of both recurrent layers
    if arm == "lora":
        assert len(inside) == 2 * 4
        assert all("lora_" in k for k in inside)
    if arm == "gradual":
        sizes = [len(group) for group in layer_groups(net)]
        assert min(sizes) > 0
        assert sum(sizes) == len(before)
    plain, x = merge_lora(net.double()).eval(), torch.randn(3, 20, 8, dtype=torch.float64)
    torch.testing.assert_close(plain(x), net.eval()(x), rtol=1e-9, atol=1e-9)
    assert set(dict(plain.body.named_parameters())) == set(dict(make(8).body.named_parameters()))


@pytest.mark.parametrize("dropout", (0.0, 0.4))
def test_recurrent_layer_in_half_precision_and_gradients(dropout):
    """bf16 autocast gives finite gradients.

    In double precision they equal finite differences, with a mask, too.
    """
    torch.manual_seed(0)
    layer = KerasLSTM(5, 4, dropout)
    with torch.autocast("cpu", torch.bfloat16):
        layer(torch.randn(3, 5, 8)).float().square().mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in layer.parameters())
    layer = layer.double()
    mask = torch.nn.functional.dropout(torch.ones(2, 4, dtype=torch.float64), dropout)
    x = torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: layer(x, mask), x)
