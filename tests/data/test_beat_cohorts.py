"Beat cohorts: counts against the annotation files, and what a broken database says."

import os
import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import wfdb

from biosig_nb.data.databases.mitdb import (
    AAMI,
    DS1,
    DS2,
    MITDB_RECORDS,
    annotated_beats,
    mitdb_beats,
    mitdb_record,
)
from biosig_nb.data.databases.ptbdb import HEALTHY, INFARCTION, patient_table, ptbdb_beats
from biosig_nb.data.segments.beats import beat_table
from biosig_nb.data.simulate.mitdb import simulate_mitdb
from biosig_nb.data.simulate.ptbdb import simulate_ptbdb
from biosig_nb.errors import BiosigError, ConfigError, DataError

DATA = Path(os.environ.get("BIOSIG_DATA") or "/nonexistent")
MITDB, PTBDB = DATA / "mitdb" / "1.0.0", DATA / "ptbdb" / "1.0.0"


def needs(folder):
    return pytest.mark.skipif(
        not folder.is_dir(), reason=f"BIOSIG_DATA holds no {folder.parent.name}/{folder.name}"
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("world")
    simulate_mitdb(root)
    simulate_ptbdb(root)
    return root


@pytest.fixture
def mitdb(world, tmp_path):
    shutil.copytree(world / "mitdb", tmp_path / "mitdb")
    return tmp_path / "mitdb" / "1.0.0"


@pytest.fixture
def ptbdb(world, tmp_path):
    shutil.copytree(world / "ptbdb", tmp_path / "ptbdb")
    return tmp_path / "ptbdb" / "1.0.0"


def one_line(exception, *words):
    text = str(exception.value)
    assert "\n" not in text
    for w in words:
        assert w in text, text


def every_class_accounted_for(folder, **options):
    cohort = mitdb_beats(folder, **options)
    cut = Counter(cohort.table.aami)
    expected, dropped = Counter(), Counter()
    for record in cohort.table.record.unique():
        a = wfdb.rdann(str(folder / record), "atr")
        expected += Counter(AAMI[s] for s in a.symbol if s in AAMI)
        lead = cohort.table.lead[cohort.table.record == record].iloc[0]
        dropped += Counter(mitdb_record(folder, record, lead, 125, 187, 0.0).dropped.label)
    assert cut + dropped == expected
    beats = cohort.flow[cohort.flow.step == "beats"]
    assert beats.kept.iloc[0] == sum(expected.values())
    assert beats.dropped.sum() == sum(dropped.values())
    assert beats.kept.iloc[-1] == len(cohort)
    return cohort, expected


@pytest.mark.realdata
@needs(MITDB)
def test_mitdb_counts():
    cohort, expected = every_class_accounted_for(MITDB, paced=True, fallback="V5")
    assert sum(expected.values()) == annotated_beats(MITDB).to_numpy().sum()
    assert np.isfinite(beat_table(cohort).to_numpy()).all()
    assert len(cohort) / sum(expected.values()) > 0.998
    if not cohort.provenance["missing"]:
        assert sum(expected.values()) == 109_494
        assert dict(expected) == dict(N=90631, S=2781, V=7236, F=803, Q=8043)
        assert set(mitdb_beats(MITDB).table.record) == set(DS1) | set(DS2)
        flow = mitdb_beats(MITDB, paced=True).flow
        assert flow.why.str.contains("no lead MLII (102, 104)", regex=False).any()
    else:
        assert set(cohort.provenance["missing"]) | set(cohort.table.record) == set(MITDB_RECORDS)


@pytest.mark.realdata
@needs(MITDB)
def test_mitdb_beats_lie_where_the_record_says():
    cohort = mitdb_beats(MITDB, records=["106", "208"])
    rng = np.random.default_rng(0)
    alike, apart = [], []
    for i in rng.choice(len(cohort), 40, replace=False):
        row = cohort.table.iloc[i]
        at = row["sample"]
        x = wfdb.rdrecord(
            str(MITDB / row.record), channel_names=["MLII"], sampfrom=at, sampto=at + 360
        ).p_signal[:, 0]
        beat = cohort.signals[i, 0][cohort.mask[i]][:120]
        raw = np.interp(np.arange(len(beat)) / 125, np.arange(360) / 360, x)
        alike.append(np.corrcoef(beat, raw)[0, 1])
        apart.append(np.median(np.abs(beat - raw)))
    # up to half a sample (4 ms) and what lies above 62.5 Hz
    assert np.median(alike) > 0.99, np.sort(alike)[:3]
    assert min(alike) > 0.9, np.sort(alike)[:3]
    assert np.max(apart) < 0.05, np.sort(apart)[-3:]  # in the file's millivolts


@pytest.mark.realdata
@needs(PTBDB)
def test_ptbdb_patients():
    table = patient_table(PTBDB)
    cohort = ptbdb_beats(PTBDB)
    everybody = ptbdb_beats(PTBDB, positive="any")
    assert set(table.lead) == {"ii"}
    assert set(table.kind) <= {"long", "excerpt"}
    assert (
        len(set(cohort.groups))
        == table.patient[table.diagnosis.isin([HEALTHY, INFARCTION])].nunique()
    )
    assert cohort.table.groupby("record").size().min() >= 4
    assert cohort.table["sample"].max() < 10_000
    assert set(cohort.groups) <= set(everybody.groups)
    assert np.isfinite(beat_table(everybody).to_numpy()).all()
    if len(table) == 68:
        patients = table.groupby("diagnosis").patient.nunique()
        assert (
            patients[HEALTHY],
            patients[INFARCTION],
            patients.drop([HEALTHY, INFARCTION, "unknown"]).sum(),
        ) == (18, 11, 23)
        assert set(table.diagnosis[table.kind == "long"]) == {INFARCTION}


def test_simulated_counts(mitdb):
    every_class_accounted_for(mitdb)


def test_a_stray_annotation_file_is_no_record(mitdb):
    before = mitdb_beats(mitdb)
    record = before.table.record.iloc[0]
    shutil.copy(mitdb / f"{record}.atr", mitdb / f"{record}-0.atr")
    assert mitdb_beats(mitdb).table.index.equals(before.table.index)
    (mitdb / "RECORDS").unlink()  # without the list: the known names, in their order
    assert set(mitdb_beats(mitdb).table.index) == set(before.table.index)


def test_what_is_not_there_is_named(mitdb):
    a, b = (mitdb / "RECORDS").read_text().split()[:2]
    (mitdb / f"{a}.dat").unlink()
    (mitdb / f"{b}.atr").unlink()
    cohort = mitdb_beats(mitdb)
    assert {a, b} <= set(cohort.provenance["missing"])
    assert not {a, b} & set(cohort.table.record)


def test_truncated_signal_file(mitdb):
    path = next(mitdb.glob("*.dat"))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError) as e:
        mitdb_beats(mitdb)
    one_line(e, path.stem, "bytes")


def rewritten(folder, record, clock):
    "The annotations of a record, written by wfdb in another clock."
    a = wfdb.rdann(str(folder / record), "atr")
    samples = np.round(a.sample * clock / 360).astype(np.int64)
    wfdb.wrann(record, "atr", samples, symbol=a.symbol, fs=clock, write_dir=str(folder))


@pytest.mark.parametrize("clock", [200, 1000])
def test_annotations_in_another_clock_are_cut_at_the_same_peaks(mitdb, clock):
    before = mitdb_beats(mitdb)
    record = before.table.record.iloc[0]
    rewritten(mitdb, record, clock)
    after = mitdb_beats(mitdb)
    offset = after.table["sample"].to_numpy() - before.table["sample"].to_numpy()
    assert np.abs(offset).max() <= 0.5 * 360 / clock + 0.5
    assert after.table.aami.tolist() == before.table.aami.tolist()
    own = before.table.record == record
    assert (offset[~own] == 0).all()


@pytest.mark.parametrize("share", [0.0, 0.5, 0.98])
def test_annotation_file_cut_short(mitdb, share):
    path = next(mitdb.glob("*.atr"))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share) // 2 * 2])
    with pytest.raises(DataError) as e:
        mitdb_beats(mitdb)
    one_line(e, f"record {path.stem}", path.name, "cut short", "fetch it again")


def test_annotations_of_another_recording(mitdb):
    a, b = (mitdb / "RECORDS").read_text().split()[:2]
    beats = wfdb.rdann(str(mitdb / b), "atr")
    wfdb.wrann(a, "atr", beats.sample * 3, symbol=beats.symbol, write_dir=str(mitdb))
    with pytest.raises(DataError) as e:
        mitdb_beats(mitdb)
    one_line(e, f"'{a}.atr' marks", "the signal ends at 60.000 s")


def state_nothing(head):
    "A header without first samples and checksums, so that the samples may be changed."
    text = re.sub(r"(?m)^(\S+\.dat \S+ \S+ \S+ \S+) \S+ \S+ 0 ", r"\1 0 0 0 ", head.read_text())
    head.write_text(text)


def test_record_full_of_nan(mitdb):
    path = next(mitdb.glob("*.dat"))
    state_nothing(path.with_suffix(".hea"))
    n = path.stat().st_size
    # -2048 in format 212: the mark of a lost sample
    path.write_bytes(bytes((0x00, 0x88, 0x00)) * (n // 3) + bytes(n % 3))
    with pytest.raises(DataError) as e:
        mitdb_beats(mitdb)
    one_line(e, path.stem, "every sample of lead MLII is missing")


def test_lost_samples_drop_the_beats_that_touch_them(mitdb):
    record = (mitdb / "RECORDS").read_text().split()[0]
    path = mitdb / f"{record}.dat"
    state_nothing(path.with_suffix(".hea"))
    whole = mitdb_beats(mitdb, records=[record])
    d = bytearray(path.read_bytes())
    d[3 * 7000 : 3 * 7050] = bytes((0x00, 0x88, 0x00)) * 50
    path.write_bytes(bytes(d))
    holed = mitdb_beats(mitdb, records=[record])
    gone = set(whole.table["sample"]) - set(holed.table["sample"])
    assert 1 <= len(gone) <= 3
    assert all(7050 - 0.02 * 360 > s > 7000 - 2 * 360 for s in gone)
    assert holed.flow.why.str.contains("missing samples").any()


def test_header_that_leaves_its_folder(mitdb):
    path = next(mitdb.glob("*.hea"))
    path.write_text(path.read_text().replace(f"{path.stem}.dat", "../../etc/passwd"))
    with pytest.raises(BiosigError) as e:
        mitdb_beats(mitdb)
    one_line(e, path.stem, "etc/passwd")


def test_no_lead(mitdb):
    record = (mitdb / "RECORDS").read_text().split()[0]
    path = mitdb / f"{record}.hea"
    path.write_text(path.read_text().replace("MLII", "V5"))
    cohort = mitdb_beats(mitdb)
    assert record not in set(cohort.table.record)
    assert cohort.flow.why.str.contains(f"no lead MLII ({record})", regex=False).any()
    assert set(mitdb_beats(mitdb, fallback="V5").table.lead) == {"MLII", "V5"}
    with pytest.raises(DataError) as e:
        mitdb_beats(mitdb, lead="aVR")
    one_line(e, "aVR")


def test_one_class(ptbdb, mitdb):
    for path in ptbdb.glob("*/*.hea"):
        path.write_text(path.read_text().replace(INFARCTION, HEALTHY))
    with pytest.raises(DataError) as e:
        ptbdb_beats(ptbdb)
    one_line(e, "one class")


def test_unknown_names(mitdb, ptbdb):
    with pytest.raises(ConfigError) as e:
        mitdb_beats(mitdb, records=["1000"])
    one_line(e, "1000", "100")
    with pytest.raises(ConfigError) as e:
        ptbdb_beats(ptbdb, positive="all")
    one_line(e, "any")


def test_adc_units(ptbdb):
    path = next(ptbdb.glob("*/*.hea"))
    # a gain of 1
    path.write_text(
        "\n".join(
            re.sub(r"(\.dat 16) \S+", r"\1 1", line)
            for line in path.read_text().splitlines()
            if line
        )
        + "\n"
    )
    with pytest.raises(DataError) as e:
        ptbdb_beats(ptbdb, positive="any")
    one_line(e, path.stem, "ADC units")
