"Own folders: each broken one gives one message; templates pass; former names and rows are read."

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from biosig_nb.data.databases.ctu_uhb_ctgdb import LabelRule
from biosig_nb.data.databases.ctu_uhb_recordings import ctg_records
from biosig_nb.data.own.broken_folders import BROKEN, NEEDS
from biosig_nb.data.own.check import check_folder
from biosig_nb.data.own.deliveries import DELIVERIES, own_deliveries
from biosig_nb.data.own.folder import read_folder
from biosig_nb.data.own.needs import Needs
from biosig_nb.data.own.problems import lines_of
from biosig_nb.data.own.recordings import own_cohort, own_recording
from biosig_nb.data.own.template import template_files, write_template
from biosig_nb.data.simulate.ctu_uhb_ctgdb import simulate_ctu_uhb
from biosig_nb.data.wfdb_files import read_record
from biosig_nb.errors import DataError


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: case.what)
def test_a_broken_folder_gives_one_message(case, tmp_path):
    found = check_folder(case.write(tmp_path / "clinic"), NEEDS[case.kind])
    lines = lines_of(found.severe)
    assert len(lines) == 1, lines
    assert case.message in lines[0]
    assert len(lines[0]) <= 400
    assert found.folder is None
    with pytest.raises(DataError) as e:
        found.refuse()
    assert str(e.value) == lines[0]
    assert str(tmp_path) not in lines[0]


@pytest.mark.parametrize("kind", NEEDS)
def test_a_template_passes(kind, tmp_path):
    write_template(tmp_path / "clinic", NEEDS[kind])
    found = check_folder(tmp_path / "clinic", NEEDS[kind])
    assert found.lines() == ["no problem found"]


def test_a_recording_in_other_formats_is_the_same(tmp_path):
    """The same ECG as csv with a decimal comma and a byte order mark, as WFDB and as an array."""
    wfdb = pytest.importorskip("wfdb")
    needs = NEEDS["ecg"]
    write_template(tmp_path, needs)
    expected = own_recording(read_folder(tmp_path, needs), "example_1").signals
    text = (tmp_path / "example_1.csv").read_text()
    (tmp_path / "comma.csv").write_text(
        text.replace(",", ";").replace(".", ","), encoding="utf-8-sig"
    )
    names = text.splitlines()[0].split(",")[1:]
    how = dict(fs=100, units=["uV"] * 12, sig_name=names, fmt=["16"] * 12, write_dir=str(tmp_path))
    wfdb.wrsamp(
        "record", p_signal=1000 * expected.T, adc_gain=[10.0] * 12, baseline=[0] * 12, **how
    )
    np.save(tmp_path / "array.npy", expected.T)
    rows = ["record,label,fs", "comma,0,", "record,1,", "array,0,100", "example_1.csv,1,"]
    (tmp_path / "records.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "biosig.yaml").write_text(f"unit: mV\nchannels: [{', '.join(names)}]\n")
    folder = read_folder(tmp_path, needs)
    np.testing.assert_allclose(own_recording(folder, "comma").signals, expected, atol=1e-12)
    np.testing.assert_allclose(own_recording(folder, "array").signals, expected, atol=1e-12)
    by_wfdb = read_record(tmp_path, "record").signals / 1000
    np.testing.assert_allclose(own_recording(folder, "record").signals, by_wfdb, atol=1e-9)
    with pytest.raises(DataError, match="comma and example_1.csv are one recording"):
        own_cohort(folder)


def test_names_of_records_and_patients_are_not_in_a_cohort_s_columns(tmp_path):
    write_template(tmp_path, NEEDS["ecg"])
    cohort = own_cohort(read_folder(tmp_path, NEEDS["ecg"]))
    assert "patient" not in cohort.table
    assert [g.split("/")[1] for g in cohort.groups] == ["p1", "p2", "p3"]
    assert cohort.table.age.tolist() == [61, 48, 70]


def test_a_large_table_is_checked_quickly_and_on_one_screen(tmp_path):
    "Thousands of rows with every cell wrong give a few lines."
    rows = [f"r{k},x{k},p{k},{k + 200},z,fast" for k in range(3000)]
    (tmp_path / "records.csv").write_text("\n".join(["record,label,patient,age,sex,fs", *rows]))
    found = check_folder(tmp_path, replace(NEEDS["ecg"]))
    assert len(found.problems) > 9000
    assert len(found.lines()) < 12
    assert max(map(len, found.lines())) < 600


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_named(tmp_path):
    write_template(tmp_path, NEEDS["ecg"])
    (tmp_path / "example_1.csv").chmod(0)
    (problem,) = check_folder(tmp_path, NEEDS["ecg"]).severe
    assert "example_1.csv" in problem.text()


def test_template_files_are_the_same_each_time():
    for needs in NEEDS.values():
        assert template_files(needs) == template_files(needs)


def test_hostile_settings_are_refused(tmp_path):
    write_template(tmp_path, NEEDS["ecg"])
    for text in (
        "fs: !!python/object/apply:os.system ['true']",
        "a: &a [*a]",
        "name: " + "x" * 300_000,
        "lost: [" + "1, " * 20_000 + "1]",
        "fs: 1e400",
        "rename: {a: [b]}",
    ):
        (tmp_path / "biosig.yaml").write_text(text)
        found = check_folder(tmp_path, NEEDS["ecg"])
        assert any(p.file == "biosig.yaml" for p in found.severe), text[:40]
        assert all(len(line) < 700 for line in found.lines())


def test_rows_may_be_parts_of_one_recording(tmp_path):
    write_template(tmp_path, NEEDS["ecg"])
    rows = ["record,label,start,end", "example_1,0,0,5", "example_1,1,5,10"]
    (tmp_path / "records.csv").write_text("\n".join(rows))
    needs = Needs("ecg", NEEDS["ecg"].channels, "mV", labels="yes_no")
    cohort = own_cohort(read_folder(tmp_path, needs))
    whole = pd.read_csv(tmp_path / "example_1.csv").drop(columns="time").to_numpy().T
    assert cohort.groups[0] == cohort.groups[1]
    np.testing.assert_allclose(np.hstack(list(cohort.signals)), whole, atol=1e-5)


def test_own_deliveries_are_prepared_like_those_of_the_database(tmp_path):
    folder = simulate_ctu_uhb(tmp_path, n_records=12, minutes=12)
    public = ctg_records(folder, rule=LabelRule(threshold=7.3), minutes=10.0, least=0.0)
    rows = [f"{r},{y}" for r, y in zip(public.table.record, public.labels)]
    (folder / "records.csv").write_text("\n".join(["record,label", *rows]))
    own = own_deliveries(read_folder(folder, DELIVERIES), minutes=10.0, least=0.0)
    np.testing.assert_array_equal(own.signals, public.signals)
    np.testing.assert_array_equal(own.table.stv.to_numpy(float), public.table.stv.to_numpy(float))
    assert own.table.record.tolist() == public.table.record.tolist()


@pytest.mark.realdata
@pytest.mark.parametrize(
    "slug, needs, problems",
    [
        ("ptb-xl", "ecg", 0),
        ("ctu-uhb-ctgdb", "ctg", 0),
        ("challenge-2021", "ecg", 1),  # E07509 and E07510 are one recording
    ],
)
def test_real_recordings_pass(slug, needs, problems, tmp_path):
    "Levels, limb leads and rates of real recordings raise no false alarm."
    root = os.environ.get("BIOSIG_DATA")
    heads = sorted(Path(root).glob(f"{slug}/**/*.hea"))[:100] if root else []
    if not heads:
        pytest.skip(f"BIOSIG_DATA holds no {slug}")
    for head in heads:
        for path in head.parent.glob(f"{head.stem}.*"):
            shutil.copy(path, tmp_path)
    rows = [f"{head.stem},{k % 2}" for k, head in enumerate(heads)]
    (tmp_path / "records.csv").write_text("\n".join(["record,label", *rows]))
    assert len(check_folder(tmp_path, NEEDS[needs]).severe) == problems
