"Cardiotocograms: properties on random traces, and plausible numbers on real ones."

import os
from pathlib import Path

import numpy as np
import pytest
import wfdb

from biosig_nb.signals.ctg import baseline, clean_fhr, clean_uc, downsample, fill_short_gaps
from biosig_nb.signals.ctg_features import FEATURES, ctg_features

DATA = Path(os.environ.get("BIOSIG_DATA") or "/nonexistent") / "ctu-uhb-ctgdb" / "1.0.0"


def trace(seed, n=7200):
    rng = np.random.default_rng(seed)
    x = 140 + np.cumsum(rng.normal(0, 0.4, n)).clip(-40, 40)
    for a in rng.integers(0, n, 25):
        x[a : a + rng.integers(1, 200)] = rng.choice([0, 70, 250])
    return x


@pytest.mark.parametrize("seed", range(8))
def test_cleaning_and_gaps_on_random_traces(seed):
    x = trace(seed)
    before = x.copy()
    clean, reasons = clean_fhr(x)
    assert (x == before).all()  # the input is left alone
    real = np.isfinite(clean)
    assert sum(reasons.values()) == (~real).sum() and (clean[real] == x[real]).all()
    filled, mask = fill_short_gaps(clean)
    assert (
        (filled[real] == clean[real]).all()
        and (mask == np.isfinite(filled)).all()
        and mask[real].all()
    )
    new = np.flatnonzero(mask & ~real)
    assert all(
        np.isfinite(clean[max(0, i - 60) : i]).any() and np.isfinite(clean[i + 1 : i + 61]).any()
        for i in new
    )
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
def test_extreme_traces_give_numbers_or_nan(fhr):
    f = ctg_features(clean_fhr(fhr)[0], clean_uc(np.zeros(len(fhr))))
    assert (
        list(f) == list(FEATURES)
        and np.isnan(f["contractions"])
        and not np.isinf(list(f.values())).any()
    )


@pytest.mark.realdata
@pytest.mark.skipif(not DATA.is_dir(), reason="BIOSIG_DATA holds no ctu-uhb-ctgdb/1.0.0")
def test_real_records_give_plausible_numbers():
    rows = []
    for path in sorted(DATA.glob("*.hea")):
        fhr, uc = np.nan_to_num(wfdb.rdrecord(str(path.with_suffix(""))).p_signal[-7200:].T)
        rows.append(list(ctg_features(clean_fhr(fhr)[0], clean_uc(uc)).values()))
    middle = dict(zip(FEATURES, np.nanmedian(np.array(rows), axis=0)))
    assert (
        125 < middle["baseline"] < 147
        and 1 < middle["contractions"] < 7
        and 8 < middle["ltv"] < 30
        and 4 < middle["decelerations"] < 25
    ), middle
    assert 0 < middle["below_100"] < middle["below_110"] < 0.4 and 0 < middle["lag"] < 50, middle


@pytest.mark.realdata
@pytest.mark.skipif(not DATA.is_dir(), reason="BIOSIG_DATA holds no ctu-uhb-ctgdb/1.0.0")
def test_the_baseline_of_real_records_does_not_sink_into_decelerations():
    lowest = [
        np.nanmin(
            baseline(
                clean_fhr(
                    np.nan_to_num(
                        wfdb.rdrecord(str(p.with_suffix("")), channels=[0]).p_signal[-7200:, 0]
                    )
                )[0]
            )
        )
        for p in sorted(DATA.glob("*.hea"))
    ]
    assert np.nanpercentile(lowest, 10) > 105 and np.nanmedian(lowest) > 125, np.nanpercentile(
        lowest, (1, 5, 10, 50)
    )
