"PTB-XL: tables and signals of real recordings, against pandas and wfdb read independently."

import ast
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import wfdb
from scipy import signal

from biosig_nb.data.databases.ptb_xl import ptbxl_records
from biosig_nb.data.databases.ptb_xl_leads import einthoven_error, read_leads
from biosig_nb.data.databases.ptb_xl_rhythm import RHYTHM, exclusive_rhythm, one_rhythm
from biosig_nb.data.databases.ptb_xl_tables import ptbxl_table, statement_matrix, statements
from biosig_nb.errors import DataError

FOLDER = Path(os.environ.get("BIOSIG_DATA") or "/nonexistent") / "ptb-xl" / "1.0.3"
pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not FOLDER.is_dir(), reason="BIOSIG_DATA holds no ptb-xl/1.0.3"),
]


@pytest.fixture(scope="module")
def raw():
    t = pd.read_csv(FOLDER / "ptbxl_database.csv", index_col="ecg_id")
    t["codes"] = t.scp_codes.map(ast.literal_eval).map(set)
    return t[[(FOLDER / f"{p}.dat").is_file() for p in t.filename_lr]]


@pytest.fixture(scope="module")
def scp():
    return pd.read_csv(FOLDER / "scp_statements.csv", index_col=0)


@pytest.fixture(scope="module")
def cohort():
    return ptbxl_records(FOLDER, "all")


def brute(raw, scp, task):
    "Label names and positives by loops over the text of the tables."

    def of(code):
        row = scp.loc[code]
        if task == "all":
            return code
        column = {"subclass": "diagnostic_subclass", "superclass": "diagnostic_class"}.get(task)
        if column:
            return row[column] if row.diagnostic == 1 else None
        return code if row[task] == 1 else None

    names = sorted({of(c) for c in scp.index} - {None})
    return names, [{of(c) for c in codes} - {None} for codes in raw.codes]


@pytest.mark.parametrize(
    "task, n",
    [
        ("all", 71),
        ("diagnostic", 44),
        ("subclass", 23),
        ("superclass", 5),
        ("form", 19),
        ("rhythm", 12),
    ],
)
def test_labels_of_every_task(raw, scp, task, n):
    table, codes = ptbxl_table(FOLDER).loc[raw.index], statements(FOLDER)
    Y, names, known = statement_matrix(table, codes, task)
    wanted, sets = brute(raw, scp, task)
    assert list(names) == wanted
    assert len(names) == n
    assert Y.tolist() == [[int(k in s) for k in wanted] for s in sets]
    assert known.tolist() == [bool(s) for s in sets]
    c = ptbxl_records(FOLDER, task, leads=("I",))
    assert len(c) == known.sum()
    assert (c.labels == Y[known]).all()


def test_every_record_is_wfdbs(raw, cohort):
    assert cohort.table.record.tolist() == [Path(p).name for p in raw.filename_lr]
    assert cohort.signals.dtype == np.float32
    assert cohort.provenance["missing"] == []
    for x, path in zip(cohort.signals, raw.filename_lr):
        r = wfdb.rdrecord(str(FOLDER / path))
        assert tuple(c.upper() for c in r.sig_name) == tuple(c.upper() for c in cohort.channels)
        assert r.fs == 100
        assert (x == r.p_signal.T.astype(np.float32)).all()
    law, reshaped = (
        einthoven_error(cohort.signals),
        einthoven_error(cohort.signals.reshape(-1, 1000, 12).swapaxes(1, 2)),
    )
    # single true recordings break the law for a while
    assert np.median(law) < 0.01
    assert (law > 0.05).mean() < 0.01
    assert reshaped.min() > 0.3


def test_who_they_are(raw, cohort):
    t = cohort.table
    assert t.patient.tolist() == [str(int(p)) for p in raw.patient_id]
    assert t.fold.tolist() == raw.strat_fold.tolist()
    assert t.sex.tolist() == ["female" if s == 1 else "male" for s in raw.sex]
    assert (t.over_89.to_numpy() == (raw.age == 300)).all()
    assert t.age.max() <= 90
    assert (t.age[~t.over_89].to_numpy() == raw.age[raw.age < 300]).all()
    assert cohort.groups.tolist() == [f"ptb-xl/{int(p)}" for p in raw.patient_id]


def test_another_rate_and_the_500_hz_files(raw):
    low = ptbxl_records(FOLDER, "all", leads=("II",), fs=250.0, folds=(1, 2))
    part = raw[raw.strat_fold.isin((1, 2))]
    assert low.signals.shape == (len(part), 1, 2500)
    assert low.table.fold.isin((1, 2)).all()
    for x, path in list(zip(low.signals, part.filename_lr))[::20]:
        by_fourier = signal.resample(wfdb.rdrecord(str(FOLDER / path)).p_signal[:, 1], 2500)

        def smooth(v):
            return signal.sosfiltfilt(signal.butter(4, 30, fs=250, output="sos"), v)[250:-250]

        assert np.corrcoef(smooth(x[0]), smooth(by_fourier))[0, 1] > 0.999
    for path in sorted((FOLDER / "records500").rglob("*.hea")):
        name = str(path.relative_to(FOLDER).with_suffix(""))
        x = read_leads(FOLDER, name, 500)
        assert (x == wfdb.rdrecord(str(path.with_suffix(""))).p_signal.T).all()
    with pytest.raises(DataError, match="expected 1000 at 100"):
        read_leads(FOLDER, name, 100)


def test_one_rhythm(raw, cohort):
    single = one_rhythm(cohort)
    sinus, rhythm = {"SR", "SBRAD", "STACH", "SARRH"}, set(RHYTHM)
    assert rhythm == set(statements(FOLDER).query("rhythm").index)
    expected = [
        "AF" if "AFIB" in c else "" if not c & rhythm else "N" if c & rhythm <= sinus else "O"
        for c in raw.codes
    ]
    assert exclusive_rhythm(cohort).tolist() == expected
    assert [single.label_names[k] for k in single.labels] == [k for k in expected if k]


def test_a_damaged_record_is_named(tmp_path):
    copy = tmp_path / "1.0.3"
    shutil.copytree(FOLDER, copy)
    head = sorted(copy.glob("records100/*/*.hea"))[3]
    head.chmod(0o644)
    head.parent.chmod(0o755)
    text = head.read_text()
    for old, new, message in (
        (" 0 V1\n", " 0 V9\n", "no lead V1"),
        ("/mV", "/uV", "expected mV"),
        ("12 100 1000", "12 500 1000", "at 500 Hz"),
        ("1000.0(0)", "1.0(0)", "ADC units"),
    ):
        assert old in text
        head.write_text(text.replace(old, new))
        with pytest.raises(DataError, match=message) as e:
            ptbxl_records(copy)
        assert head.stem in str(e.value)
        assert "\n" not in str(e.value)
    head.with_suffix(".dat").unlink()
    assert ptbxl_records(copy, "all").provenance["missing"] == [head.stem]
