"What must hold for any R peaks and any signal."

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from biosig_nb.signals.beat_features import FEATURES, beat_features
from biosig_nb.signals.beats import REASONS, extract_beats, scale_rows
from biosig_nb.signals.filters import resample, to_index


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000),
    st.integers(300, 6000),
    st.integers(0, 60),
    st.booleans(),
    st.sampled_from([0.0, 0.2]),
)
def test_every_peak_becomes_a_beat_or_has_a_reason(seed, n, n_peaks, with_flat, before):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n).cumsum() * 0.05
    if with_flat:
        x[n // 3 :] = 1.0
    peaks = np.sort(rng.integers(0, n, n_peaks))
    bad = rng.random(n) < 0.002
    b = extract_beats(x, 125, peaks, before=before, bad=bad)
    assert sorted([*b.kept, *b.dropped.peak]) == list(range(n_peaks))
    assert set(b.dropped.why) <= set(REASONS)
    assert b.signals.shape == b.mask.shape == (len(b.kept), 187)
    assert b.signals.dtype == np.float32
    assert np.isfinite(b.signals).all()
    assert (b.signals[~b.mask] == 0).all()
    start = peaks[b.kept] - round(before * 125)
    for row, m, i in zip(b.signals, b.mask, start):  # the signal itself
        assert (row[m] == x[i : i + m.sum()].astype(np.float32)).all()
    # recorded first, padding after
    assert (b.mask.sum(1) >= 1).all()
    assert (np.diff(b.mask.astype(int), axis=1) <= 0).all()
    unit = scale_rows(b.signals, b.mask, b.low, b.high)
    assert unit.dtype == np.float32
    assert (unit >= 0).all()
    assert (unit <= 1).all()
    assert (unit[~b.mask] == 0).all()
    exact = np.clip((b.signals.astype(float) - b.low[:, None]) / (b.high - b.low)[:, None], 0, 1)
    size = np.maximum(np.abs(b.low), np.abs(b.high)) / (b.high - b.low)
    rounding = 1e-7 + 2e-7 * size[:, None]  # of float32
    assert ((np.abs(unit - exact) <= rounding) | ~b.mask).all()
    f = beat_features(unit, b.mask)
    assert f.shape == (len(b.kept), len(FEATURES) - 3)
    assert np.isfinite(f.to_numpy()).all()


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([100.0, 128.0, 250.0, 257.0, 360.0, 500.0, 1000.0]),
    st.integers(400, 3000),
    st.floats(-3, 3),
)
def test_resampling_keeps_length_level_and_time(fs, n, level):
    y = resample(np.full(n, level), fs)
    assert len(y) == -(-n * 125 // int(fs))
    assert np.allclose(y, level, atol=2e-3 * max(abs(level), 1))
    at = n // 2
    pulse = np.exp(-(((np.arange(n) - at) / (0.03 * fs)) ** 2))
    assert abs(int(np.argmax(resample(pulse, fs))) - to_index([at], fs)[0]) <= 1
