"""The 2-D networks against transformers' ResNet: same weights, same features."""

import re

import pytest
import torch

from biosig_nb.models.resnet_v2 import ResNet18, ResNet34, ResNet50

transformers = pytest.importorskip("transformers")


def ours(name: str, depths: list) -> str:
    "Name in our network of a weight of transformers' ResNet."
    last = {"convolution": 0, "normalization": 1}
    if m := re.fullmatch(r"embedder\.embedder\.(\w+)\.(\w+)", name):
        return f"stem.{last[m[1]]}.{m[2]}"
    stage, block, rest = re.fullmatch(r"encoder\.stages\.(\d)\.layers\.(\d)\.(.+)", name).groups()
    k = sum(depths[: int(stage)]) + int(block)
    if m := re.fullmatch(r"shortcut\.(\w+)\.(\w+)", rest):
        return f"stages.{k}.shortcut.{last[m[1]]}.{m[2]}"
    m = re.fullmatch(r"layer\.(\d)\.(\w+)\.(\w+)", rest)
    return f"stages.{k}.layers.{3 * int(m[1]) + last[m[2]]}.{m[3]}"


@pytest.mark.parametrize(
    "make, kind, depths, widths",
    [
        (ResNet18, "basic", [2, 2, 2, 2], [64, 128, 256, 512]),
        (ResNet34, "basic", [3, 4, 6, 3], [64, 128, 256, 512]),
        (ResNet50, "bottleneck", [3, 4, 6, 3], [256, 512, 1024, 2048]),
    ],
)
def test_features_of_the_image_network(make, kind, depths, widths):
    torch.manual_seed(0)
    theirs = transformers.ResNetModel(
        transformers.ResNetConfig(
            num_channels=1, layer_type=kind, depths=depths, hidden_sizes=widths
        )
    )
    # random statistics: an exchange of two layers would show
    for v in theirs.buffers():
        if v.is_floating_point():
            v.uniform_(0.5, 1.5)
    theirs.eval()
    net = make(4, ndim=2).eval()
    state = {ours(k, depths): v for k, v in theirs.state_dict().items()}
    missing, unknown = net.body.load_state_dict(state, strict=False)
    # only the biases of the convolutions are missing
    assert not unknown
    assert all(k.endswith(".bias") for k in missing)
    for k in missing:
        net.body.get_parameter(k).data.zero_()
    convolutions = sum(isinstance(m, torch.nn.Conv2d) for m in net.modules())
    assert len(missing) == convolutions
    x = torch.randn(3, 1, 1500)
    with torch.no_grad():
        spectrogram = net.body.front(x)
        torch.testing.assert_close(
            net.body(x), theirs(spectrogram).pooler_output[:, :, 0, 0], rtol=1e-4, atol=1e-4
        )
