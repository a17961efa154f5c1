"Segments: real recordings against wfdb, labels against loops, memory over many recordings."

import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st

from biosig_nb.data.annotations import parse_annotations
from biosig_nb.data.databases.icentia11k_continuous_ecg import (
    IcentiaSource,
    count_annotations,
    list_patients,
)
from biosig_nb.data.databases.mitdb_segments import MitdbSource
from biosig_nb.data.segments.ecg_segments import SegmentSampler, batches
from biosig_nb.data.segments.segment_sets import measure_scale, segment_cohort, segment_label_counts
from biosig_nb.data.simulate.icentia11k_continuous_ecg import simulate_holter
from biosig_nb.errors import DataError
from biosig_nb.signals.segment_labels import (
    BEATS,
    RATES,
    RHYTHMS,
    SYMBOLS,
    beat_codes,
    segment_labels,
)

DATA = Path(os.environ.get("BIOSIG_DATA") or "/nonexistent")
ICENTIA, MITDB = DATA / "icentia11k-continuous-ecg" / "1.0", DATA / "mitdb" / "1.0.0"


def needs(folder):
    return pytest.mark.skipif(
        not folder.is_dir(), reason=f"BIOSIG_DATA holds no {folder.parent.name}/{folder.name}"
    )


@pytest.fixture(scope="module")
def holter(tmp_path_factory):
    return simulate_holter(
        tmp_path_factory.mktemp("holter"), n_patients=5, n_recordings=2, n_samples=30_000
    )


@pytest.mark.realdata
@pytest.mark.parametrize(
    "folder", [pytest.param(f, marks=needs(f), id=f.parent.name) for f in (ICENTIA, MITDB)]
)
def test_annotations_as_wfdb_reads_them(folder):
    files = sorted(folder.rglob("*.atr"))
    assert files
    for path in files:
        ours = parse_annotations(path.read_bytes())
        theirs = wfdb.rdann(str(path.with_suffix("")), "atr")
        assert (ours.sample == theirs.sample).all()
        assert ours.symbol.tolist() == theirs.symbol
        assert ours.aux.tolist() == ["" if x == "None" else x.strip("\0") for x in theirs.aux_note]


@pytest.mark.realdata
@needs(ICENTIA)
def test_the_first_patient_carries_rate_and_no_beats():
    counts = count_annotations(ICENTIA).loc["p00000"]
    assert counts.N > 4000 * counts.recordings
    assert counts.get("V", 0) == 0
    assert counts.get("(AFIB", 0) == 0
    assert counts.get("S", 0) <= 1
    source = IcentiaSource(ICENTIA)
    assert source.about()["simulated"] is False
    rates = segment_label_counts(SegmentSampler(source, rule="heart_rate"), 500)
    assert (rates > 10).sum() >= 2
    beats = SegmentSampler(source, rule="beat", seed=1)
    for rule in ("beat", "rhythm"):
        with pytest.raises(DataError, match=f"the {rule} task has one class only"):
            segment_label_counts(SegmentSampler(source, rule=rule), 1000)
    cohort = segment_cohort(SegmentSampler(source, rule="heart_rate"), 400)
    assert np.abs(cohort.signals).max() < 20
    assert set(cohort.groups) == {"icentia11k-continuous-ecg/p00000"}
    mean, sd = measure_scale(beats, 200)
    # millivolts: not the unit of the published constants
    assert abs(mean) < 0.05
    assert 0.02 < sd < 1


@pytest.mark.realdata
@needs(ICENTIA)
def test_segments_are_the_samples_of_the_file():
    b = next(batches(SegmentSampler(IcentiaSource(ICENTIA), size=512), 40))
    for x, record, start in zip(b.x[:, 0], b.record, b.start):
        ref = wfdb.rdrecord(
            str(ICENTIA / record[:3] / record[:6] / record),
            sampfrom=int(start),
            sampto=int(start) + 512,
        ).p_signal[:, 0]
        np.testing.assert_allclose(x, ref, atol=1e-6)


@pytest.mark.realdata
@needs(MITDB)
def test_mitdb_carries_the_beat_task():
    source = MitdbSource(MITDB)
    counts = segment_label_counts(SegmentSampler(source, rule="beat"), 1000)
    assert (counts[["normal", "pac", "pvc"]] > 20).all()
    for patient in source.patients:
        for recording in source.recordings(patient):
            a, raw = source.annotations(recording), wfdb.rdann(str(MITDB / recording.name), "atr")
            assert np.abs(a.sample / 250 - raw.sample / 360).max() <= 0.0041
            assert (
                len(source.segments(recording, [0], recording.n)[0])
                == recording.n
                == len(source.segments(recording, [recording.n - 9], 9)[0]) + recording.n - 9
            )
    assert "202" not in source.patients
    assert not {"102", "104", "107", "217"} & set(source.patients)


def test_source_order_and_files_in_the_way(holter, tmp_path):
    (holter / "p00" / "notes.txt").write_text("x")
    (holter / "RECORDS").write_text("")
    assert list_patients(holter) == [f"p{i:05d}" for i in range(5)]
    (holter / "p00" / "notes.txt").unlink()
    (holter / "RECORDS").unlink()


def rate_class(bpm):
    "The class of a heart rate, None where there is none."
    if bpm is None:
        return "noise"
    if bpm < 60:
        return "brady"
    return "tachy" if bpm > 100 else "normal"


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 400),
            st.sampled_from(list("NNNQSaV+~A/")),
            st.sampled_from(["", "(N", "(AFIB", "(AFL", ")", "(VT"]),
        ),
        max_size=40,
    ),
    st.lists(st.integers(0, 400), min_size=1, max_size=5),
    st.integers(1, 120),
    st.booleans(),
)
def test_labels_against_samples_one_by_one(notes, starts, size, complete):
    notes = sorted(notes, key=lambda x: x[0])
    at, symbol, aux = [x[0] for x in notes], [x[1] for x in notes], [x[2] for x in notes]
    name = {s: c for c, symbols in SYMBOLS.items() for s in symbols}
    beats = [(t, name[k]) for t, k in zip(at, symbol) if k in name]
    rhythm, now = [], "undefined"
    by_time = {}
    for t, x in zip(at, aux):
        if x:
            by_time[t] = {"(N": "normal", "(AFIB": "afib", "(AFL": "aflut"}.get(x, "undefined")
    for t in range(600):
        now = by_time.get(t, now)
        rhythm.append(now)
    labels = {
        r: segment_labels(r, at, symbol, aux, starts, size, complete=complete)
        for r in ("beat", "rhythm", "heart_rate")
    }
    for i, s in enumerate(starts):
        inside = [b for b in beats if s <= b[0] < s + size][complete:]
        c = Counter(k for _, k in inside)
        rare = [k for k in ("pac", "aberrated", "pvc") if c[k]]
        frequent = "normal" if c["normal"] > c["undefined"] else "undefined"
        wanted = max(rare, key=lambda k: c[k]) if rare else frequent
        assert BEATS[labels["beat"][i]] == wanted
        d = Counter(rhythm[s : s + size])
        first = [k for k in ("undefined", "afib", "aflut") if d[k]]
        assert RHYTHMS[labels["rhythm"][i]] == (
            max(first, key=lambda k: d[k]) if first else "normal"
        )
        rr = np.diff([t for t, _ in inside])
        bpm = 15000 / rr.mean() if len(rr) and rr.mean() > 0 else None
        assert RATES[labels["heart_rate"][i]] == rate_class(bpm)


def test_codes_follow_the_table():
    for c, symbols in SYMBOLS.items():
        for s in symbols:
            assert BEATS[beat_codes([s])[0]] == c


def test_a_broken_annotation_file_is_named(holter, tmp_path):
    folder = tmp_path / "icentia11k-continuous-ecg" / "1.0"
    shutil.copytree(holter, folder)
    path = folder / "p00" / "p00002" / "p00002_s01.atr"
    whole = path.read_bytes()
    for content in (b"", b"\1", whole[:-41], whole[:-2], whole[: len(whole) // 4 * 2]):
        path.write_bytes(content)
        with pytest.raises(DataError, match="p00002_s01.*is cut short") as e:
            list(batches(SegmentSampler(IcentiaSource(folder), per_patient=20), 30))
        assert "\n" not in str(e.value)


def test_recordings_without_annotations_are_counted(holter, tmp_path):
    folder = tmp_path / "icentia11k-continuous-ecg" / "1.0"
    shutil.copytree(holter, folder)
    assert IcentiaSource(folder).about()["missing"] == []
    (folder / "p00" / "p00002" / "p00002_s01.atr").unlink()
    (folder / "p00" / "p00003" / "p00003_s00.hea").unlink()
    source = IcentiaSource(folder)
    assert [s.name for s in source.recordings("p00002")] == ["p00002_s00"]
    cohort = segment_cohort(SegmentSampler(source, rule="heart_rate"), 100, least=1)
    assert cohort.provenance["missing"] == ["p00002_s01", "p00003_s00"]
    assert not {"p00002_s01", "p00003_s00"} & set(cohort.table.record)
    counts = count_annotations(folder)
    assert counts.incomplete.tolist() == [0, 0, 1, 1, 0]


def test_a_signal_that_ends_within_a_sample(holter, tmp_path):
    folder = tmp_path / "icentia11k-continuous-ecg" / "1.0"
    shutil.copytree(holter, folder)
    path = folder / "p00" / "p00001" / "p00001_s00.dat"
    whole = path.read_bytes()
    for content in (b"", whole[:-1], whole + b"\0"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=f"p00001_s00.dat' has {len(content):,} bytes"):
            IcentiaSource(folder).recordings("p00001")


def test_short_recordings_are_padded_on_the_left(tmp_path):
    source = IcentiaSource(simulate_holter(tmp_path, n_patients=3, n_samples=2500))
    sampler = SegmentSampler(
        source, size=4096, per_patient=5, normalise=(0.5, 2.0), rule="heart_rate"
    )
    b = next(batches(sampler, 15))
    assert (b.x[..., : 4096 - 2500] == 0).all()
    assert (b.start == 0).all()
    ref = wfdb.rdrecord(str(source.folder / "p00" / b.patient[0] / b.record[0])).p_signal[:, 0]
    np.testing.assert_allclose(b.x[0, 0, -2500:], (ref - 0.5) / 2, atol=1e-6)
    recorded = b.x[..., -2500:] * 2 + 0.5
    np.testing.assert_allclose(
        measure_scale(sampler, 15), (recorded.mean(), recorded.std()), atol=1e-4
    )


def test_memory_over_2000_recordings(tmp_path, monkeypatch):
    """Resident memory of a fresh process grows by less than 200 MB over a pass through 2,000
    recordings of full length (sparse files).
    """
    if not Path("/proc/self/statm").is_file():
        pytest.skip("needs /proc")
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2] / "benchmarks"))
    import segment_sampler

    n, seconds, grown = segment_sampler.fresh_growth(
        segment_sampler.sparse_tree(tmp_path), segments=150
    )
    assert n == 6000
    assert grown < 200
