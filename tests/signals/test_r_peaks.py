"The R-peak detector against cardiologists' annotations, and on recordings of ten seconds."

import os
from pathlib import Path

import numpy as np
import pytest
import wfdb
from wfdb.processing import compare_annotations

from biosig_nb.signals.beats import detect_r_peaks

DATA = Path(os.environ.get("BIOSIG_DATA") or "/nonexistent")
MITDB, PTBDB = DATA / "mitdb" / "1.0.0", DATA / "ptbdb" / "1.0.0"
BEATS = list("NLRejAaJSVEF/fQ")


def needs(folder):
    reason = f"BIOSIG_DATA holds no {folder.parent.name}/{folder.name}"
    return pytest.mark.skipif(not folder.is_dir(), reason=reason)


@pytest.mark.realdata
@needs(MITDB)
def test_recall_on_mitdb():
    hits = missed = false = 0
    for record in (MITDB / "RECORDS").read_text().split():
        r = wfdb.rdrecord(str(MITDB / record))
        a = wfdb.rdann(str(MITDB / record), "atr")
        if "MLII" not in r.sig_name:
            continue
        truth = a.sample[np.isin(a.symbol, BEATS)]
        found = detect_r_peaks(r.p_signal[:, r.sig_name.index("MLII")], r.fs)
        c = compare_annotations(truth, found, int(0.15 * r.fs))
        assert c.sensitivity > 0.985, f"record {record}: sensitivity {c.sensitivity:.4f}"
        hits, missed, false = hits + c.tp, missed + c.fn, false + c.fp
    assert hits / (hits + missed) > 0.998, (hits, missed)
    assert hits / (hits + false) > 0.99, (hits, false)


@pytest.mark.realdata
@needs(PTBDB)
def test_no_beat_is_lost_at_the_ends_of_a_short_recording():
    records = (PTBDB / "RECORDS").read_text().split()
    for record in records:
        path = str(PTBDB / record)
        end = min(10_000, wfdb.rdheader(path).sig_len)
        x = wfdb.rdrecord(path, sampto=end, channel_names=["ii"]).p_signal[:, 0]
        peaks = detect_r_peaks(x, 1000)
        rr = np.diff(peaks) / 1000
        assert len(peaks) >= 6, f"{record}: {len(peaks)} beats"
        assert rr.min() > 0.25, f"{record}: RR of {rr.min():.2f} s"
        assert rr.max() < 2.2, f"{record}: RR of {rr.max():.2f} s"
        longest = 1650 * max(np.median(rr), 0.6)
        assert peaks[0] < longest, f"{record}: beats lost at the beginning"
        assert 10_000 - peaks[-1] < longest, f"{record}: beats lost at the end"
    assert records


def test_offset_gain_and_noise_do_not_matter():
    rng = np.random.default_rng(0)
    at = np.arange(300, 9800, 800)
    t = np.arange(10_000)
    qrs = np.exp(-(((t[:, None] - at) / 12) ** 2)).sum(1)
    t_wave = np.exp(-(((t[:, None] - at - 260) / 50) ** 2)).sum(1)
    x = qrs + 0.2 * t_wave
    for y in (x, 5 * x - 3, 0.2 * x + 1 + 0.0001 * t, x + 0.03 * rng.normal(size=len(x))):
        found = detect_r_peaks(y, 1000)
        assert len(found) == len(at)
        assert np.abs(found - at).max() <= 8
