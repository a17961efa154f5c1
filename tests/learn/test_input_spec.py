"""The input contract on real recordings, and those of the published models."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from biosig_nb.errors import DataError
from biosig_nb.learn.input_checks import band_shares, sampled
from biosig_nb.learn.input_spec import InputSpec
from biosig_nb.models.foundation.published import PUBLISHED, contract
from biosig_nb.signals.input_filters import plain_bandpass

BAND = (0.67, 40.0)
ROOT = Path(os.environ.get("BIOSIG_DATA") or "/nowhere")


@pytest.fixture(scope="module")
def ptbxl():
    "Recordings of PTB-XL as published: 100 Hz, millivolts, unfiltered."
    from biosig_nb.data.databases.ptb_xl import ptbxl_records

    folder = ROOT / "ptb-xl" / "1.0.3"
    if not folder.is_dir():
        pytest.skip("BIOSIG_DATA holds no ptb-xl")
    return ptbxl_records(folder, folds=1).take(np.arange(20))


@pytest.fixture(scope="module")
def georgia():
    "Recordings of Georgia: 500 Hz, millivolts."
    from biosig_nb.data.databases.challenge_2021 import challenge_records

    folder = ROOT / "challenge-2021" / "1.0.3"
    if not folder.is_dir():
        pytest.skip("BIOSIG_DATA holds no challenge-2021")
    cohort = challenge_records(folder, fs=500)
    return cohort.take(np.arange(len(cohort)) < 4)


def scaled(cohort, factor):
    return replace(cohort, signals=np.asarray(cohort.signals, np.float64) * factor)


@pytest.mark.parametrize("kind", PUBLISHED)
def test_published_contracts_are_contracts(kind):
    spec = InputSpec.from_dict(contract(kind))
    assert spec.samples == spec.fs * spec.seconds
    assert InputSpec.from_dict(spec.as_dict()) == spec


def test_millivolts_given_as_microvolts_are_noticed(ptbxl):
    spec = InputSpec(100, ptbxl.channels, 10, unit="uV")
    with pytest.raises(DataError, match="would fit mV"):
        spec.fit(ptbxl)
    spec.fit(scaled(ptbxl, 1000))
    replace(spec, unit="mV").fit(ptbxl)
    with pytest.raises(DataError, match="would fit uV"):
        replace(spec, unit="mV").fit(scaled(ptbxl, 1000))


def test_a_missing_filter_is_noticed(ptbxl):
    spec = InputSpec(100, ptbxl.channels, 10, band=BAND, filtered=True)
    with pytest.raises(DataError, match="ptb-xl: .* outside 0.67-40 Hz; .* filter these"):
        spec.fit(ptbxl)
    x = plain_bandpass(np.asarray(ptbxl.signals, np.float64), 100, *BAND)
    filtered = replace(ptbxl, signals=x)
    seen = spec.fit(filtered)(filtered)
    assert np.abs(seen.signals - x).max() < 1e-5  # and it is not filtered again
    outside = [band_shares(sampled(c), 100, BAND)[0] for c in (ptbxl, filtered)]
    assert outside[0] > 5 * outside[1]


def test_smoothed_recordings_are_noticed(ptbxl):
    spec = InputSpec(100, ptbxl.channels, 10, band=BAND)
    spec.fit(ptbxl)
    x = plain_bandpass(np.asarray(ptbxl.signals, np.float64), 100, 0.67, 8)
    with pytest.raises(DataError, match="these recordings were smoothed"):
        spec.fit(replace(ptbxl, signals=x))


@pytest.mark.parametrize("kind", ["ecgfounder", "hubert-ecg-base", "merl-resnet18"])
def test_georgia_goes_into_every_model(georgia, kind):
    spec = InputSpec.from_dict(contract(kind))
    seen = spec.fit(georgia)(georgia)
    shape = (1, 6000) if spec.layout == "row" else (12, 5000)
    assert seen.signals.shape == (4, *shape)
    assert np.isfinite(seen.signals).all()
    louder = spec(scaled(georgia, 1000))  # all three are free of the unit
    assert np.abs(louder.signals - seen.signals).max() < 1e-3


def test_what_the_rate_does_not_hold(ptbxl):
    founder = InputSpec.from_dict(contract("ecgfounder"))
    assert founder.fit(ptbxl)(ptbxl).signals.shape == (20, 12, 5000)  # reads up to 40 Hz
    with pytest.raises(DataError, match="recorded at 100 Hz, which holds up to 50 Hz; .* 250 Hz"):
        InputSpec.from_dict(contract("merl-resnet18")).fit(ptbxl)
    with pytest.raises(DataError, match="12 leads .*, the network reads one"):
        InputSpec.from_dict(contract("ecgfounder-1lead")).fit(ptbxl)
