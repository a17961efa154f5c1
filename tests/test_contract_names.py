"""The names that other programs rely on, each called as the contract writes it."""

import inspect

import numpy as np
import pytest

from biosig_nb import models
from biosig_nb.evaluate.metrics import auroc, macro_auroc
from biosig_nb.models.beat_nets import BeatCNN
from biosig_nb.models.cnn_lstm import CNNLSTM
from biosig_nb.models.frame_lstm import FrameLSTM
from biosig_nb.models.resnet_v2 import ResNet18
from biosig_nb.models.xresnet1d import XResNet1d101

NETWORKS = {
    "BeatCNN": (BeatCNN, dict(n_classes=5)),
    "ResNet18": (ResNet18, dict(n_classes=4, ndim=1)),
    "XResNet1d101": (XResNet1d101, dict(n_classes=71, n_leads=12)),
    "CNNLSTM": (CNNLSTM, dict(n_classes=1)),
    "FrameLSTM": (FrameLSTM, dict(feature_dim=512)),
}


def test_areas_on_arrays():
    y, p = np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])
    assert auroc(y, p) == 0.75
    assert macro_auroc(np.stack([y, 1 - y], 1), np.stack([p, p], 1)) == 0.5
    assert list(inspect.signature(auroc).parameters)[:2] == ["y", "p"]
    assert list(inspect.signature(macro_auroc).parameters)[:2] == ["Y", "P"]


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_as_written(name):
    "Each takes the arguments of the contract, and they are its defaults where it has any."
    network, how = NETWORKS[name]
    trainable, statistics = models.count_parameters(network(**how))
    assert trainable > 0 and statistics >= 0
    given = inspect.signature(network).parameters
    defaults = {k: given[k].default for k in how if given[k].default is not inspect.Parameter.empty}
    assert defaults == {k: how[k] for k in defaults}


@pytest.mark.parametrize(
    "name, counts",
    [
        ("ResNet18", (4_484_932, 9_600)),
        ("FrameLSTM", (993_665, 768)),
    ],
)
def test_published_sizes(name, counts):
    network, how = NETWORKS[name]
    assert models.count_parameters(network(**how)) == counts
