"Cardiotocograms: properties on random recordings, and plausible numbers on real ones."

import os
from pathlib import Path

import numpy as np
import pytest
import wfdb

from biosig_nb.signals.ctg import clean_fhr, clean_uc, downsample, fhr_baseline, fill_short_gaps
from biosig_nb.signals.ctg_features import FEATURES, ctg_features

DATA = Path(os.environ.get("BIOSIG_DATA") or "/nonexistent") / "ctu-uhb-ctgdb" / "1.0.0"


def recording(seed, n=7200):
    "A random walk with losses and artefacts (bpm)."
    rng = np.random.default_rng(seed)
    x = 140 + np.cumsum(rng.normal(0, 0.4, n)).clip(-40, 40)
    for a in rng.integers(0, n, 25):
        x[a : a + rng.integers(1, 200)] = rng.choice([0, 70, 250])
    return x


@pytest.mark.parametrize("seed", range(8))
def test_cleaning_and_gaps_on_random_recordings(seed):
    x = recording(seed)
    before = x.copy()
    clean, reasons = clean_fhr(x)
    assert (x == before).all()  # the input is left alone
    real = np.isfinite(clean)
    assert sum(reasons.values()) == (~real).sum()
    assert (clean[real] == x[real]).all()
    filled, mask = fill_short_gaps(clean)
    assert (filled[real] == clean[real]).all()
    assert (mask == np.isfinite(filled)).all()
    assert mask[real].all()
    new = np.flatnonzero(mask & ~real)
    for i in new:  # measured values within 15 s before and after
        assert np.isfinite(clean[max(0, i - 60) : i]).any()
        assert np.isfinite(clean[i + 1 : i + 61]).any()
    low, m = downsample(filled, mask, 4.0, 1.0)
    loop = [
        np.mean(b[g]) if g.sum() >= 2 else np.nan
        for b, g in zip(filled.reshape(-1, 4), mask.reshape(-1, 4))
    ]
    np.testing.assert_allclose(low, loop)
    assert (m == np.isfinite(low)).all()


@pytest.mark.parametrize(
    "fhr",
    [
        np.zeros(7200),
        np.full(7200, 140.0),
        np.zeros(0),
        np.r_[np.zeros(6000), np.full(1200, 140.0)],
    ],
)
def test_extreme_recordings_give_numbers_or_nan(fhr):
    f = ctg_features(clean_fhr(fhr)[0], clean_uc(np.zeros(len(fhr))))
    assert list(f) == list(FEATURES)
    assert np.isnan(f["contractions"])
    assert not np.isinf(list(f.values())).any()


real_data = pytest.mark.skipif(not DATA.is_dir(), reason="BIOSIG_DATA holds no ctu-uhb-ctgdb/1.0.0")


def last_half_hours():
    "FHR and UC of the last 30 minutes of each record."
    for path in sorted(DATA.glob("*.hea")):
        yield np.nan_to_num(wfdb.rdrecord(str(path.with_suffix(""))).p_signal[-7200:].T)


@pytest.mark.realdata
@real_data
def test_real_records_give_plausible_numbers():
    rows = []
    for fhr, uc in last_half_hours():
        rows.append(list(ctg_features(clean_fhr(fhr)[0], clean_uc(uc)).values()))
    middle = dict(zip(FEATURES, np.nanmedian(np.array(rows), axis=0)))
    assert 125 < middle["baseline"] < 147, middle
    assert 1 < middle["contractions"] < 7, middle
    assert 8 < middle["ltv"] < 30, middle
    assert 4 < middle["decelerations"] < 25, middle
    assert 0 < middle["below_100"] < middle["below_110"] < 0.4, middle
    assert 0 < middle["lag"] < 50, middle


@pytest.mark.realdata
@real_data
def test_the_baseline_of_real_records_does_not_sink_into_decelerations():
    lowest = [np.nanmin(fhr_baseline(clean_fhr(fhr)[0])) for fhr, _ in last_half_hours()]
    assert np.nanpercentile(lowest, 10) > 105, np.nanpercentile(lowest, (1, 5, 10))
    assert np.nanmedian(lowest) > 125, np.nanmedian(lowest)
