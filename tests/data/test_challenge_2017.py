"""Recordings of the 2017 challenge, on the real records, against other readers."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import signal
from scipy.io import loadmat

from biosig_nb.data.databases.challenge_2017 import CLASSES, cinc_records, read_labels
from biosig_nb.data.databases.near_duplicates import near_duplicates, opening
from biosig_nb.learn.transforms import StandardiseRecorded, moments
from biosig_nb.signals.af_features import FEATURES, af_features

wfdb = pytest.importorskip("wfdb")


@pytest.fixture(scope="module")
def folder() -> Path:
    root = os.environ.get("BIOSIG_DATA")
    path = Path(root) / "challenge-2017/1.0.0" if root else None
    if path is None or not path.is_dir():
        pytest.skip("BIOSIG_DATA holds no challenge-2017")
    return path


@pytest.fixture(scope="module")
def recordings(folder):
    return cinc_records(folder)


@pytest.mark.realdata
def test_labels_and_missing(folder, recordings):
    lines = dict(line.split(",") for line in (folder / "REFERENCE-v3.csv").read_text().split())
    assert dict(zip(recordings.table.record, recordings.table.label)) == lines
    assert set(lines.values()) == set(CLASSES)
    assert (
        recordings.counts().examples.to_dict()
        == pd.Series(list(lines.values())).value_counts()[list(CLASSES)].to_dict()
    )
    assert len(recordings) + len(recordings.provenance["missing"]) == 8528
    assert not recordings.provenance["simulated"]
    old = read_labels(folder, "original")
    differ = sum(old[r] != k for r, k in lines.items())
    assert any(f"of these {differ:,} have another label" in why for why in recordings.flow.why)


@pytest.mark.realdata
def test_samples_are_those_of_the_file(folder, recordings):
    raw_rate = cinc_records(
        folder, fs=300.0, length=18300, records=recordings.table.record.tolist()[:40]
    )
    for i, record in enumerate(raw_rate.table.record):
        path = folder / "training" / record[:3] / record
        stored = loadmat(path.with_suffix(".mat"))["val"][0]
        x = raw_rate.signals[i, 0]
        assert (x[-len(stored) :] == (stored / 1000).astype(np.float32)).all()
        assert not x[: -len(stored)].any()
        assert np.allclose(x[-len(stored) :], wfdb.rdrecord(str(path)).p_signal[:, 0], atol=1e-6)
        assert raw_rate.mask[i].sum() == len(stored) == round(300 * raw_rate.table.seconds.iloc[i])


@pytest.mark.realdata
def test_resampling_against_fourier(folder, recordings):
    for i, record in list(enumerate(recordings.table.record))[:30]:
        stored = loadmat(folder / "training" / record[:3] / f"{record}.mat")["val"][0] / 1000
        low, n = recordings.signals[i, 0][recordings.mask[i]], len(stored) // 6
        assert len(low) == -(-len(stored) * 5 // 6)

        def calm(v):
            return signal.sosfiltfilt(signal.butter(4, 40, fs=250, output="sos"), v)[500:-500]

        theirs = calm(signal.resample(stored[: 6 * n], 5 * n))
        assert np.abs(calm(low[: 5 * n]) - theirs).max() < 0.02 * max(1.0, np.ptp(theirs)), record


@pytest.mark.realdata
def test_normalised_by_the_training_side(recordings):
    train = np.arange(0, len(recordings), 2)
    scaled = StandardiseRecorded().fit(recordings.take(train))(recordings)
    x = np.concatenate([scaled.signals[i, 0][scaled.mask[i]] for i in train]).astype(float)
    assert abs(x.mean()) < 1e-3
    assert abs(x.std() - 1) < 1e-3
    assert not scaled.signals[:, 0][~scaled.mask].any()
    assert (scaled.signals[:, 1] == recordings.signals[:, 1]).all()  # the mask
    assert 0.15 < moments(recordings.take(train))[1] < 0.35  # .2373 in the whole database


@pytest.mark.realdata
def test_near_duplicates_by_brute_force(recordings):
    x, at = opening(recordings)
    brute = {
        (int(at[i]), int(at[j]))
        for i in range(len(x))
        for j in range(i + 1, len(x))
        if abs(np.corrcoef(x[i], x[j])[0, 1]) >= 0.9
    }
    found = near_duplicates(recordings, block=31)
    assert set(zip(found["first"], found["second"])) <= brute
    assert len(brute) - len(found) <= 2


@pytest.mark.realdata
def test_fibrillation_is_irregular(recordings):
    rows = pd.DataFrame(
        [
            af_features(recordings.signals[i, 0][recordings.mask[i]], recordings.fs)
            for i in range(len(recordings))
        ]
    )
    assert list(rows.columns) == list(FEATURES)
    by = rows.groupby(recordings.table.label.to_numpy()).median()
    assert by.rmssd["A"] > 2 * by.rmssd["N"]
    assert by.p_energy["A"] < by.p_energy["N"]
    assert by.noise_share["~"] > by.noise_share["N"]
    assert (
        rows.loc[recordings.table.label.to_numpy() != "~", "heart_rate"].between(30, 200).mean()
        > 0.98
    )
