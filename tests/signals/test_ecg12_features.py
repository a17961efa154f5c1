"Twelve leads of PTB-XL: compared with SciPy, a detector of wfdb and cardiologists' statements."

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import pywt
import scipy.stats
from sklearn.metrics import roc_auc_score
from wfdb.processing import XQRS

from biosig_nb.data.databases.ptb_xl import ptbxl_records
from biosig_nb.data.databases.ptb_xl_leads import read_leads
from biosig_nb.signals.ecg12_beats import beat_positions
from biosig_nb.signals.ecg12_features import ecg12_features
from biosig_nb.signals.ecg12_measures import FEATURES
from biosig_nb.signals.ecg12_spectra import spectrum
from biosig_nb.signals.ecg12_wavelets import wavelet_features, wavelet_names
from biosig_nb.signals.filters import resample

FOLDER = Path(os.environ.get("BIOSIG_DATA") or "/nonexistent") / "ptb-xl" / "1.0.3"
pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not FOLDER.is_dir(), reason="BIOSIG_DATA holds no ptb-xl/1.0.3"),
]


@pytest.fixture(scope="module")
def cohort():
    return ptbxl_records(FOLDER, "all")


@pytest.fixture(scope="module")
def table(cohort):
    return ecg12_features(cohort.signals, cohort.fs, "clinical")


def statistics(c):
    "The statistics of the public benchmark, written out."
    crossings = [int((np.diff((c > level).astype(int)) != 0).sum()) for level in (0, c.mean())]
    share = np.array(list(Counter(c.tolist()).values())) / len(c)
    return [
        scipy.stats.entropy(share),
        *crossings,
        *np.percentile(c, [5, 25, 75, 95, 50]),
        c.mean(),
        c.std(),
        c.var(),
        np.sqrt(c**2).mean(),
    ]


def test_wavelets_are_the_benchmarks(cohort):
    got = wavelet_features(cohort.signals[::24], published=True)
    for row, x in zip(got, cohort.signals[::24].astype(float)):
        bands = [c for lead in x for c in pywt.wavedec(lead, "db6", level=5)]
        expected = [v for c in bands for v in statistics(c)]
        np.testing.assert_allclose(row, expected, rtol=1e-9, atol=1e-12)


def test_published_entropy_is_constant_and_ours_varies(cohort):
    columns = [i for i, n in enumerate(wavelet_names()) if n.endswith("_entropy")]
    published = wavelet_features(cohort.signals, published=True)[:, columns]
    ours = wavelet_features(cohort.signals)[:, columns]
    assert np.median(np.ptp(published, axis=0)) < 0.01
    assert np.median(np.ptp(ours, axis=0)) > 0.5


def test_beats_are_those_of_wfdb(cohort):
    close = []
    for x in cohort.signals[::8].astype(float):
        # at 100 Hz XQRS counts beats twice
        detector = XQRS(sig=resample(x[1], 100, 500), fs=500)
        detector.detect(verbose=False)
        close.append(abs(len(beat_positions(x, 100.0)) - len(detector.qrs_inds)) <= 1)
    assert np.mean(close) >= 0.9


@pytest.mark.parametrize(
    "statement, feature, sign, least",
    [
        ("SBRAD", "heart_rate", -1, 0.95),
        ("STACH", "heart_rate", 1, 0.9),
        ("AFIB", "cosen", 1, 0.9),
        ("AFIB", "p_presence", -1, 0.9),
        ("PVC", "unlike", 1, 0.75),
        ("LAFB", "axis", -1, 0.9),
        ("RVH", "r_V1", 1, 0.7),
        ("LVH", "sokolow", 1, 0.75),
        ("1AVB", "pq", 1, 0.85),
        ("CRBBB", "late_V1", 1, 0.9),
        ("CLBBB", "qrs_duration", 1, 0.9),
        ("ISC_", "st_V5", -1, 0.75),
        ("ASMI", "r_V3", -1, 0.75),
    ],
)
def test_measures_agree_with_statements(cohort, table, statement, feature, sign, least):
    y = cohort.labels[:, cohort.label_names.index(statement)]
    v = sign * table[feature].to_numpy()
    known = np.isfinite(v)
    assert known.mean() > 0.98
    assert roc_auc_score(y[known], v[known]) > least


def test_every_measure_is_present_and_plausible(table):
    assert list(table) == list(FEATURES)
    assert table.isna().mean().max() < 0.02
    middle = table.median()
    assert 60 < middle.heart_rate < 85
    assert 65 < middle.qrs_duration < 110
    assert 360 < middle.qtc < 430
    assert -10 < middle.axis < 60
    assert middle.p_presence > 0.85


def test_five_hundred_hertz_measures_what_one_hundred_does():
    paths = sorted((FOLDER / "records500").rglob("*.hea"))
    names = [str(p.relative_to(FOLDER).with_suffix("")) for p in paths]
    x = np.stack([read_leads(FOLDER, name, 500) for name in names])
    fine = ecg12_features(x, 500.0, "clinical")
    coarse = ecg12_features(resample(x, 500, 100), 100.0, "clinical")
    tolerances = dict(heart_rate=1.5, axis=5, sokolow=0.3, qrs_duration=20, qtc=20, st_V2=0.1)
    for k, tolerance in tolerances.items():
        assert np.abs(fine[k] - coarse[k]).max() < tolerance, k


def test_spectrum_has_the_power_of_the_signal(cohort):
    x = cohort.signals[:20].astype(float)
    s = spectrum(x, 100.0, window=False)  # Parseval
    s[..., :-1] /= np.sqrt(2)
    np.testing.assert_allclose((s**2).sum(axis=2), x.var(axis=2), rtol=1e-4)
