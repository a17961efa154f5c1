"The detector against cardiologists' marks, and on ten-second strips."

import os
from pathlib import Path

import numpy as np
import pytest
import wfdb
from wfdb.processing import compare_annotations

from biosig_nb.signals.beats import detect_r_peaks

DATA = Path(os.environ.get("BIOSIG_DATA") or "/nonexistent")
MITDB, PTBDB = DATA / "mitdb" / "1.0.0", DATA / "ptbdb" / "1.0.0"
needs = lambda folder: pytest.mark.skipif(
    not folder.is_dir(), reason=f"BIOSIG_DATA holds no {folder.parent.name}/{folder.name}"
)
BEATS = list("NLRejAaJSVEF/fQ")


@pytest.mark.realdata
@needs(MITDB)
def test_recall_on_mitdb():
    hits = missed = invented = 0
    for record in (MITDB / "RECORDS").read_text().split():
        r = wfdb.rdrecord(str(MITDB / record))
        a = wfdb.rdann(str(MITDB / record), "atr")
        if "MLII" not in r.sig_name:
            continue
        c = compare_annotations(
            a.sample[np.isin(a.symbol, BEATS)],
            detect_r_peaks(r.p_signal[:, r.sig_name.index("MLII")], r.fs),
            int(0.15 * r.fs),
        )
        assert c.sensitivity > 0.985, f"record {record}: sensitivity {c.sensitivity:.4f}"
        hits, missed, invented = hits + c.tp, missed + c.fn, invented + c.fp
    assert hits / (hits + missed) > 0.998 and hits / (hits + invented) > 0.99, (
        hits,
        missed,
        invented,
    )


@pytest.mark.realdata
@needs(PTBDB)
def test_no_beat_is_lost_at_the_ends_of_a_strip():
    records = (PTBDB / "RECORDS").read_text().split()
    for record in records:
        h = wfdb.rdheader(str(PTBDB / record))
        x = wfdb.rdrecord(
            str(PTBDB / record), sampto=min(10_000, h.sig_len), channel_names=["ii"]
        ).p_signal[:, 0]
        peaks = detect_r_peaks(x, 1000)
        rr = np.diff(peaks) / 1000
        assert len(peaks) >= 6 and 0.25 < rr.min() and rr.max() < 2.2, (
            f"{record}: {len(peaks)} beats, RR {rr.min():.2f}-{rr.max():.2f} s"
        )
        assert peaks[0] < 1650 * max(np.median(rr), 0.6) and 10_000 - peaks[-1] < 1650 * max(
            np.median(rr), 0.6
        ), f"{record}: beats lost at an end"
    assert records


def test_offset_gain_and_noise_do_not_matter():
    rng = np.random.default_rng(0)
    at = np.arange(300, 9800, 800)
    t = np.arange(10_000)
    x = np.exp(-(((t[:, None] - at) / 12) ** 2)).sum(1) + 0.2 * np.exp(
        -(((t[:, None] - at - 260) / 50) ** 2)
    ).sum(1)
    for y in (x, 5 * x - 3, 0.2 * x + 1 + 0.0001 * t, x + 0.03 * rng.normal(size=len(x))):
        found = detect_r_peaks(y, 1000)
        assert len(found) == len(at) and np.abs(found - at).max() <= 8
