"WFDB files: sample for sample as wfdb reads them; hostile headers are refused."

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import wfdb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from biosig_nb.data import wfdb_files as w
from biosig_nb.data.annotations import read_annotations
from biosig_nb.data.simulate.mitdb import simulate_mitdb
from biosig_nb.data.simulate.ptbdb import simulate_ptbdb
from biosig_nb.data.wfdb_headers import read_header
from biosig_nb.errors import DataError

DATA = Path(os.environ.get("BIOSIG_DATA") or "/nonexistent")
FOLDERS = (
    "mitdb/1.0.0",
    "ptbdb/1.0.0",
    "ctu-uhb-ctgdb/1.0.0",
    "challenge-2017/1.0.0",
    "challenge-2021/1.0.3",
    "icentia11k-continuous-ecg/1.0",
    "ptb-xl/1.0.3",
)
LIMIT = 2_000_000  # samples a channel: of longer records, a segment


def reference(path, tmp_path):
    """The record as wfdb can read it: Georgia's first line (a file name for a name, a month in
    letters) stops it, so that is mended in a copy.
    """
    head = path.with_suffix(".hea").read_text(encoding="ascii", errors="ignore").splitlines()
    mended = re.sub(r"^(\w+)\.mat((?: \S+){3}).*", r"\1\2", head[0])
    if mended == head[0]:
        return path
    (tmp_path / path.with_suffix(".hea").name).write_text("\n".join([mended, *head[1:]]) + "\n")
    shutil.copy(path.with_suffix(".mat"), tmp_path)
    return tmp_path / path.name


def same(path, tmp_path, start=0, stop=None):
    ours = w.read_record(path.parent, path.name, start, stop)
    ref = reference(path, tmp_path)
    p = wfdb.rdrecord(str(ref), sampfrom=start, sampto=stop)
    d = wfdb.rdrecord(str(ref), sampfrom=start, sampto=stop, physical=False)
    np.testing.assert_array_equal(ours.signals, p.p_signal.T)
    np.testing.assert_array_equal(w.read_digital(path.parent, path.name, start, stop), d.d_signal.T)
    assert list(ours.channels) == p.sig_name
    assert list(ours.units) == p.units
    assert ours.fs == p.fs
    assert list(ours.comments) == p.comments
    h = read_header(path.parent, path.name)
    assert list(h.gains) == d.adc_gain
    assert list(h.baselines) == d.baseline
    assert h.n_samples == wfdb.rdheader(str(ref)).sig_len
    assert list(h.formats) == d.fmt


def same_annotations(path):
    ours, ref = read_annotations(path.parent, path.name), wfdb.rdann(str(path), "atr")
    np.testing.assert_array_equal(ours.sample, ref.sample)
    assert list(ours.symbol) == ref.symbol
    assert list(ours.aux) == ["" if a == "None" else a.strip("\x00") for a in ref.aux_note]


@pytest.mark.realdata
@pytest.mark.parametrize("folder", FOLDERS)
def test_real_records(folder, tmp_path):
    if not (DATA / folder).is_dir():
        pytest.skip(f"BIOSIG_DATA holds no {folder}")
    records = sorted((DATA / folder).rglob("*.hea"))
    assert records
    for k, head in enumerate(records):
        path = head.with_suffix("")
        n = read_header(path.parent, path.name).n_samples
        same(path, tmp_path, *((0, None) if n <= LIMIT else (1001, 200_002)))
        if k % 10 == 0:
            same(path, tmp_path, n // 3, n // 2)
        if path.with_suffix(".atr").exists():
            same_annotations(path)


def test_simulated_records(tmp_path):
    simulate_mitdb(tmp_path, n_records=2, minutes=0.3)
    simulate_ptbdb(tmp_path, n_patients=4)
    heads = list(tmp_path.rglob("*.hea"))
    assert len(heads) >= 6
    for head in heads:
        same(head.with_suffix(""), tmp_path)
        same(head.with_suffix(""), tmp_path, 501, 1502)
        if head.with_suffix(".atr").exists():
            same_annotations(head.with_suffix(""))


def write(folder, fmt, d, gain=200.0, baseline=0, **kw):
    k = d.shape[1]
    wfdb.wrsamp(
        "r",
        fs=250,
        units=["mV"] * k,
        sig_name=[f"c{i}" for i in range(k)],
        d_signal=d.astype(np.int64),
        fmt=[fmt] * k,
        adc_gain=[gain] * k,
        baseline=[baseline] * k,
        write_dir=str(folder),
        **kw,
    )
    return folder / "r"


def unstated(text):
    "A header without first samples and checksums."
    return re.sub(r"(?m)^(\S+ \S+ \S+ \S+ \S+) \S+ \S+ 0 ", r"\1 0 0 0 ", text)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    data=st.data(),
    fmt=st.sampled_from(["16", "212"]),
    n=st.integers(1, 41),
    k=st.integers(1, 3),
    gain=st.sampled_from([1.0, 200.0, 2000.0, 4880.0, 1.5e3, 0.0333]),
    baseline=st.integers(-2000, 2000),
)
def test_any_samples_any_range(tmp_path, data, fmt, n, k, gain, baseline):
    top = 2**15 if fmt == "16" else 2**11
    d = np.array(
        data.draw(
            st.lists(
                st.sampled_from([-top, -top + 1, -1, 0, 1, top - 1]) | st.integers(-top, top - 1),
                min_size=n * k,
                max_size=n * k,
            )
        )
    ).reshape(n, k)
    start = data.draw(st.integers(0, n - 1))
    stop = data.draw(st.integers(start + 1, n))
    path = write(tmp_path, fmt, d, gain, baseline)
    np.testing.assert_array_equal(w.read_digital(tmp_path, "r", start, stop), d[start:stop].T)
    same(path, tmp_path, start, stop)


@pytest.mark.parametrize("fmt", ["80", "24", "32"])
def test_other_formats_through_wfdb(tmp_path, fmt):
    d = np.arange(-60, 60).reshape(60, 2) * (1 if fmt == "80" else 4)
    d[7, 1] = w.LOST[fmt]
    path = write(tmp_path, fmt, d)
    same(path, tmp_path)
    same(path, tmp_path, 7, 8)
    assert np.isnan(w.read_record(tmp_path, "r").signals).sum() == 1


@pytest.mark.parametrize("fmt", ["61", "160", "310", "311"])
def test_formats_that_wfdb_only_reads(tmp_path, fmt):
    path = write(tmp_path, "16", np.random.default_rng(0).integers(-(2**15), 2**15, (60, 2)))
    head = path.with_suffix(".hea")
    head.write_text(unstated(head.read_text()).replace(".dat 16 ", f".dat {fmt} "))
    same(path, tmp_path)
    same(path, tmp_path, 12, 30)


def test_several_files_skew_and_frames(tmp_path):
    rng = np.random.default_rng(0)
    rng.integers(-900, 900, 300).astype("<i2").tofile(tmp_path / "m.dat")
    rng.integers(0, 256, 150).astype(np.uint8).tofile(tmp_path / "m.xyz")
    rows = (
        "m.dat 16 2000(0)/mV 16 0 0 0 0 i\n"
        "m.dat 16 200 11 1024 0 0 0 ii\n"
        "m.dat 16 0/uV 16 7 0 0 0 iii lead\n"
        "m.xyz 212 100(5) 12 0 0 0 0 vx\n"
    )
    head = tmp_path / "m.hea"
    for text in (
        "m 4 250 100 12:00:00 01/02/1999\n" + rows,
        "m 4 250/1(0) 100\n" + rows,
        ("m 4 250 100\n" + rows + "# age: 7\n#\n").replace("\n", "\r\n"),
    ):
        head.write_bytes(text.encode())
        same(tmp_path / "m", tmp_path)
        same(tmp_path / "m", tmp_path, 33, 34)
        assert read_header(tmp_path, "m").simple
    head.write_text("m 2 250 100\nm.dat 16:3 200 16 0 0 0 0 a\nm.dat 16 200 16 0 0 0 0 b\n")
    same(tmp_path / "m", tmp_path)
    head.write_text("m 2 250 100\nm.dat 16x2 200 16 0 0 0 0 a\nm.dat 16 200 16 0 0 0 0 b\n")
    same(tmp_path / "m", tmp_path)
    head.write_text("m 1 250 100\nm.xyz 212\n")
    assert w.read_record(tmp_path, "m").channels == ("ch0",)


def refused(folder, record, *words):
    with pytest.raises(DataError) as e:
        w.read_record(folder, record)
    text = str(e.value)
    assert "\n" not in text, text
    assert record in text, text
    for x in words:
        assert x in text, text


@pytest.fixture
def record(tmp_path):
    (tmp_path / "db").mkdir()
    (tmp_path / "secret.dat").write_bytes(bytes(400))
    write(tmp_path / "db", "16", np.arange(200).reshape(100, 2), comments=["age: 7"])
    return tmp_path / "db"


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "../secret.dat",
        "/etc/passwd",
        "sub/../../secret.dat",
        "./../secret.dat",
        "~/secret.dat/../../../secret.dat",
    ],
)
def test_names_that_leave_the_folder(record, name):
    head = record / "r.hea"
    head.write_text(head.read_text().replace("r.dat", name))
    refused(record, "r", "outside its folder")


def test_links_that_leave_the_folder(record):
    (record / "r.dat").unlink()
    (record / "r.dat").symlink_to(record.parent / "secret.dat")
    refused(record, "r", "outside its folder")
    shutil.copy(record / "r.hea", record.parent / "out.hea")
    (record / "out.hea").symlink_to(record.parent / "out.hea")
    refused(record, "out", "outside")
    refused(record, "../out", "outside")
    (record.parent / "out.atr").write_bytes(b"\0\0")
    (record / "out.atr").symlink_to(record.parent / "out.atr")
    with pytest.raises(DataError, match="outside"):
        read_annotations(record, "out")


def test_a_link_within_the_folder_is_fine(record):
    (record / "r.dat").rename(record / "other.dat")
    (record / "r.dat").symlink_to("other.dat")
    assert w.read_record(record, "r").signals.shape == (2, 100)


def test_broken_files(record):
    head, dat = record / "r.hea", record / "r.dat"
    text, whole = head.read_text(), dat.read_bytes()
    dat.write_bytes(whole[:399])
    refused(record, "r", "has 399 bytes", "promises 400", "truncated")
    dat.unlink()
    refused(record, "r", "'r.dat' is missing")
    dat.write_bytes(whole)
    for broken in (
        text.replace("r 2 250 100", "r 2 NaN 100"),
        text.replace("r 2 250 100", "r 2 250 99999999999999"),
        text.replace("r 2 250 100", "r 2 0 100"),
        text.replace("r 2 250 100", "r 3 250 100"),
        text.replace(" 16 ", " 777 "),
        text.replace("r 2 250 100", "r/2 2 250 100"),
        "",
        "#only a comment\n",
        "r 2 250 100\n",
        "\0\1\2",
        text.replace("r.dat", "r\0.dat"),
        text.replace("r 2 250 100", "s 2 250 100"),
    ):
        head.write_text(broken)
        refused(record, "r")
    head.unlink()
    refused(record, "r", "no header 'r.hea'")
    (record / "r.atr").write_bytes(b"")
    with pytest.raises(DataError, match="record r: 'r.atr' has 0 bytes"):
        read_annotations(record, "r")


def test_truncated_file_of_a_format_read_by_wfdb(record):
    write(record, "24", np.arange(200).reshape(100, 2))
    dat = record / "r.dat"
    dat.write_bytes(dat.read_bytes()[:99])
    refused(record, "r")


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    noise=st.lists(
        st.tuples(st.integers(0, 200), st.sampled_from("0 1-9./+(x:#\n\r\t~aN\0é")),
        min_size=1,
        max_size=4,
    )
)
def test_a_damaged_header_is_read_as_wfdb_does_or_refused(record, noise):
    text = (
        "r 2 250 100\n"
        "r.dat 16 200.0(0)/mV 16 0 0 4950 0 c0\n"
        "r.dat 16 200.0(0)/mV 16 0 1 5050 0 c1\n"
        "# age: 7\n"
    )
    for at, c in noise:
        text = text[: at % len(text)] + c + text[at % len(text) + 1 :]
    (record / "r.hea").write_text(text)
    try:
        ours = w.read_record(record, "r")
    except DataError as e:
        assert "\n" not in str(e)
        return
    try:
        ref = wfdb.rdrecord(str(record / "r"))
    except Exception:
        return  # more forgiving than wfdb (names with an ending, dates in words): allowed
    np.testing.assert_array_equal(ours.signals, ref.p_signal.T)


def test_partial_reading_touches_only_its_bytes(record, monkeypatch):
    seen, real = [], np.fromfile

    def noted(path, dtype, count, offset=0):
        seen.append((offset, count * np.dtype(dtype).itemsize))
        return real(path, dtype, count, offset=offset)

    monkeypatch.setattr(np, "fromfile", noted)
    w.read_record(record, "r", 40, 50)
    write(record, "212", np.arange(200).reshape(100, 2))
    w.read_record(record, "r", 41, 43)
    assert seen == [(160, 40), (123, 6)]
