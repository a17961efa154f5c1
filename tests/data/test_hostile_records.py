"Records from outside: exchanged and damaged files, units, clocks, hostile headers and lists."

import re

import numpy as np
import pytest
import wfdb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from biosig_nb.data.databases.challenge_2021 import challenge_records
from biosig_nb.data.databases.ctu_uhb_ctgdb import clinical_table
from biosig_nb.data.databases.ctu_uhb_recordings import ctg_records
from biosig_nb.data.databases.mitdb import mitdb_beats
from biosig_nb.data.databases.mitdb_segments import MitdbSource, resampled_lead
from biosig_nb.data.databases.ptb_xl import ptbxl_records
from biosig_nb.data.databases.ptbdb import ptbdb_beats
from biosig_nb.data.records import present_records
from biosig_nb.data.simulate.challenge_2021 import simulate_georgia
from biosig_nb.data.simulate.ctu_uhb_ctgdb import simulate_ctu_uhb
from biosig_nb.data.simulate.mitdb import simulate_mitdb
from biosig_nb.data.simulate.ptb_xl import simulate_ptbxl
from biosig_nb.data.simulate.ptbdb import simulate_ptbdb
from biosig_nb.data.wfdb_files import read_record
from biosig_nb.errors import DataError


def read_mitdb(folder):
    return mitdb_beats(folder, paced=True)


def read_ptbdb(folder):
    return ptbdb_beats(folder, positive="any")


def read_ptbxl(folder):
    return ptbxl_records(folder, "all")


READERS = {
    "mitdb": (lambda root: simulate_mitdb(root, minutes=0.5), read_mitdb),
    "ptbdb": (lambda root: simulate_ptbdb(root, n_patients=8), read_ptbdb),
    "ptb-xl": (lambda root: simulate_ptbxl(root, 0, 12), read_ptbxl),
    "challenge": (lambda root: simulate_georgia(root, 0, 12), challenge_records),
    "ctu": (lambda root: simulate_ctu_uhb(root, n_records=12), ctg_records),
}


def records_of(folder, pattern="*.hea"):
    "Headers, in order; of PTB-XL those at 100 Hz."
    found = sorted(folder.rglob(pattern))
    return [p for p in found if "records500" not in p.parts]


def exchange(a, b):
    "Two files, each with the content of the other."
    first, second = a.read_bytes(), b.read_bytes()
    a.write_bytes(second)
    b.write_bytes(first)


@pytest.fixture(params=READERS)
def database(request, tmp_path):
    simulate, read = READERS[request.param]
    folder = simulate(tmp_path)
    read(folder)  # as it is, it can be read
    return folder, read


def refused(read, folder, *words):
    with pytest.raises(DataError) as e:
        read(folder)
    text = str(e.value)
    assert "\n" not in text, text
    for word in words:
        assert word in text, text


def test_exchanged_signal_files_are_found(database):
    folder, read = database
    a, b = (next(p.parent.glob(f"{p.stem}.[dm]at")) for p in records_of(folder)[:2])
    exchange(a, b)
    refused(read, folder, "record ", "fetch it again")


def test_exchanged_headers_are_found(database):
    folder, read = database
    a, b = records_of(folder)[:2]
    exchange(a, b)
    stems = [p.relative_to(folder).with_suffix("").as_posix() for p in (a, b)]
    refused(read, folder, f"its header is that of record '{b.stem}'", f"record {stems[0]}")


def test_a_part_that_is_lost_is_found(database):
    folder, read = database
    head = records_of(folder)[0]
    file = next(head.parent.glob(f"{head.stem}.[dm]at"))
    raw = bytearray(file.read_bytes())
    if file.suffix == ".mat":
        raw[24:30] = b"\x01\x02\x03\x04\x05\x06"  # a checksum alone is a repair there
    else:
        raw[len(raw) // 2 : len(raw) // 2 + 600] = bytes(600)
    file.write_bytes(bytes(raw))
    if folder.parent.name == "ptbdb":
        raw[:6] = b"\x01\x02\x03\x04\x05\x06"  # only the first seconds are read
        file.write_bytes(bytes(raw))
    refused(read, folder, head.stem, "its header says")


def in_another_unit(text, factor, unit):
    "A header whose gains are given in another unit."

    def changed(m):
        return f"{m[1]}{float(m[2]) * factor:.10g}{m[3] or ''}/{unit} "

    return re.sub(r"(?m)^(\S+\.[dm]at \S+ )([0-9.]+)(\(\S+\))?/mV ", changed, text)


@pytest.mark.parametrize("factor, unit", [(1e3, "V"), (1e-3, "uV"), (1e-3, "µV")])
@pytest.mark.parametrize("name", ["mitdb", "ptbdb", "challenge"])
def test_volts_and_microvolts_are_millivolts(name, factor, unit, tmp_path):
    simulate, read = READERS[name]
    folder = simulate(tmp_path)
    before = read(folder)
    for head in records_of(folder):
        text = head.read_text()
        assert "/mV " in text
        head.write_text(in_another_unit(text, factor, unit))
        assert f"/{unit} " in head.read_text()
    close = 2e-3 if name == "ptbdb" else 1e-6  # PTB is rounded to three decimals: ties
    np.testing.assert_allclose(read(folder).signals, before.signals, atol=close)


@pytest.mark.parametrize("name", ["mitdb", "ptbdb", "challenge", "ptb-xl"])
def test_another_unit_is_refused_by_its_name(name, tmp_path):
    simulate, read = READERS[name]
    folder = simulate(tmp_path)
    head = records_of(folder)[0]
    head.write_text(in_another_unit(head.read_text(), 1, "degC"))
    refused(read, folder, head.stem, "degC", "expected mV")


def test_units_of_segments_of_mitdb(tmp_path):
    folder = simulate_mitdb(tmp_path, n_records=2, minutes=0.5)
    before = resampled_lead(folder, "100", "MLII", 250.0)
    head = folder / "100.hea"
    head.write_text(in_another_unit(head.read_text(), 1e3, "V"))
    resampled_lead.cache_clear()
    np.testing.assert_allclose(resampled_lead(folder, "100", "MLII", 250.0), before, atol=1e-6)
    head.write_text(head.read_text().replace("/V", "/mmHg"))
    resampled_lead.cache_clear()
    source = MitdbSource(folder)
    first = source.recordings("100")[0]
    with pytest.raises(DataError, match="record 100, lead MLII: unit is 'mmHg'"):
        source.segments(first, np.array([0]), 500)


def test_a_heart_rate_in_hertz_is_refused(tmp_path):
    folder = simulate_ctu_uhb(tmp_path, n_records=12)
    head = records_of(folder)[0]
    head.write_text(head.read_text().replace("/bpm", "/Hz"))
    refused(ctg_records, folder, f"record {head.stem}: unit of FHR is 'Hz', expected bpm")


@pytest.mark.parametrize("fs", ["0.02", "4", "1e7", "-360", "360,0", "nan"])
def test_a_rate_that_no_ecg_has(fs, tmp_path):
    for name in ("mitdb", "ptbdb", "challenge", "ptb-xl"):
        simulate, read = READERS[name]
        folder = simulate(tmp_path / name)
        head = records_of(folder)[0]
        head.write_text(re.sub(r"\A(\S+ \d+) \S+", rf"\1 {fs}", head.read_text()))
        if name == "ptb-xl" and fs == "4":
            refused(read, folder, head.stem, "at 4 Hz")
        else:
            refused(read, folder, head.stem, "sampling rate is")


LISTS = {
    "../100\n": "outside its folder",
    "/etc/passwd\n": "outside its folder",
    "1" * 400 + "\n": "more than 255 bytes",
    "100\n1\x0000\n": "a NUL in the name",
    "100\n1\x1b]0;x\x07\n": "expected printable text",
    b"100\n\xfc\n": "RECORDS, line 2: byte 0xfc is not UTF-8",
}


@pytest.mark.parametrize("content", LISTS)
def test_lists_of_records(content, tmp_path):
    (tmp_path / "100.hea").touch()
    (tmp_path / "100.dat").touch()
    raw = content if isinstance(content, bytes) else content.encode()
    (tmp_path / "RECORDS").write_bytes(raw)
    refused(present_records, tmp_path, "RECORDS", LISTS[content])


LONG = {
    "samples": "r 1 250 {}\nr.dat 16 200 16 0 0 0 0 I\n".format("7" * 6000),
    "rate": "r 1 {} 400\nr.dat 16 200 16 0 0 0 0 I\n".format("9" * 900),
    "signals": "r {} 250 400\nr.dat 16 200 16 0 0 0 0 I\n".format("9" * 900),
    "file": "r 1 250 400\n{} 16 200 16 0 0 0 0 I\n".format("a" * 90_000),
    "gain": "r 1 250 400\nr.dat 16 {} 16 0 0 0 0 I\n".format("3" * 90_000),
    "baseline": "r 1 250 400\nr.dat 16 200({})/mV 16 0 0 0 0 I\n".format("9" * 30),
    "first sample": "r 1 250 400\nr.dat 16 200 16 0 {} 0 0 I\n".format("9" * 30),
    "skew": "r 1 250 400\nr.dat 16:9999 200 16 0 0 0 0 I\n",
    "frames": "r 1 250 400\nr.dat 16x9999 200 16 0 0 0 0 I\n",
    "offset": "r 1 250 400\nr.dat 16+99999999999 200 16 0 0 0 0 I\n",
    "length": "r 1 250 900000000000\nr.dat 16 200 16 0 0 0 0 I\n",
    "length of FLAC": "r 1 250 900000000\nr.dat 516 200 16 0 0 0 0 I\n",
    "many signals": "r 9000 250 400\n" + "r.dat 16 200 16 0 0 0 0 I\n" * 9000,
    "no text": bytes(range(256)) * 20,
    "too large": "#" + " " * 2_000_000,
}


@pytest.mark.parametrize("what", LONG)
def test_hostile_headers(what, tmp_path):
    (tmp_path / "r.dat").write_bytes(bytes(800))
    text = LONG[what]
    (tmp_path / "r.hea").write_bytes(text if isinstance(text, bytes) else text.encode())
    refused(lambda folder: read_record(folder, "r"), tmp_path, "record r")


@pytest.mark.parametrize("blanks", [100_000, 900_000])
def test_long_comments_of_a_clinical_header(blanks, tmp_path):
    folder = simulate_ctu_uhb(tmp_path, n_records=4)
    before = clinical_table(folder)
    head = records_of(folder)[0]
    head.write_text(head.read_text() + "#pH" + " " * blanks + "x\n#" + "1" * blanks + "\n")
    if blanks > 400_000:
        refused(clinical_table, folder, head.stem, "expected at most 1,000,000")
    else:
        assert clinical_table(folder).equals(before)


fields = st.sampled_from(
    [
        "",
        "200",
        "200/mV",
        "1e2(5)/uV",
        ".5",
        "0 12 1024",
        "200 12 -7",
        "200 16 0 0",
        "200 16 0 0 0",
        "200(3) 16 9 0 0 0 lead II",
    ]
)


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    first=st.sampled_from(["r {}", "r {} 360", "r {} 62.5 30", "r {} 250/1(0) 60 12:00:00"]),
    fmt=st.sampled_from(["16", "16+8", "212", "80", "61", "24", "32", "16:2", "16x2", "310"]),
    rows=st.lists(fields, min_size=1, max_size=3),
)
def test_headers_without_optional_fields_are_read_as_wfdb_reads_them(tmp_path, first, fmt, rows):
    raw = np.random.default_rng(len(rows)).integers(0, 256, 1440).astype(np.uint8)
    (tmp_path / "r.dat").write_bytes(raw.tobytes())
    lines = [first.format(len(rows)), *(f"r.dat {fmt} {row}" for row in rows)]
    (tmp_path / "r.hea").write_text("\n".join(lines) + "\n")
    try:
        ref = wfdb.rdrecord(str(tmp_path / "r"))
    except Exception:
        return  # wfdb cannot
    ours = read_record(tmp_path, "r")
    np.testing.assert_array_equal(ours.signals, ref.p_signal.T)
    assert ours.fs == ref.fs
    assert list(ours.units) == ref.units
    assert list(ours.channels) == [name or f"ch{i}" for i, name in enumerate(ref.sig_name)]
