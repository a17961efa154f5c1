"Recordings of CTU-UHB in physical units, on the real records; and how often files are read."

import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from biosig_nb.data.databases.ctu_uhb_ctgdb import LabelRule
from biosig_nb.data.databases.ctu_uhb_recordings import ctg_records
from biosig_nb.data.own.deliveries import own_folder
from biosig_nb.data.segments import ctg
from biosig_nb.data.segments.ctg import ctg_windows, read_example
from biosig_nb.data.simulate.ctg_site import simulate_site
from biosig_nb.data.simulate.ctu_uhb_ctgdb import simulate_ctu_uhb
from biosig_nb.data.wfdb_files import read_record
from biosig_nb.errors import DataError
from biosig_nb.signals.ctg import clean_fhr, clean_uc, downsample, fill_short_gaps
from biosig_nb.signals.ctg_features import FEATURES, ctg_features

wfdb = pytest.importorskip("wfdb")


@pytest.fixture(scope="module")
def folder() -> Path:
    root = os.environ.get("BIOSIG_DATA")
    path = Path(root) / "ctu-uhb-ctgdb/1.0.0" if root else None
    if path is None or not path.is_dir():
        pytest.skip("BIOSIG_DATA holds no ctu-uhb-ctgdb")
    return path


@pytest.mark.realdata
def test_recordings_of_the_slices(folder):
    recordings = ctg_records(folder, rule=LabelRule(threshold=7.2))
    assert recordings.signals.shape[1:] == (2, 1800)
    assert recordings.labels.sum() == (recordings.table.pH < 7.2).sum()
    assert recordings.signals.dtype == np.float32
    assert recordings.channels == ("FHR", "UC")
    fhr, uc = recordings.signals[:, 0], recordings.signals[:, 1]
    # bpm
    assert 50 <= np.nanmin(fhr)
    assert np.nanmax(fhr) <= 220
    assert 110 < np.nanmedian(fhr) < 150
    # sensor units
    assert 0 <= np.nanmin(uc)
    assert 50 < np.nanmax(uc) <= 100
    assert not np.isinf(recordings.signals).any()
    # long gaps stay, short ones are bridged
    assert 0.02 < np.isnan(fhr).mean() < recordings.table.missing_share.mean()
    assert recordings.flow.dropped.sum() + len(recordings) == recordings.flow.kept.iloc[0]
    assert 0.05 < recordings.table.missing_share.median() < 0.4
    assert recordings.table[list(FEATURES)].notna().mean().min() > 0.5
    assert 110 < recordings.table["baseline"].median() < 150
    scalp = ctg_records(folder, rule=LabelRule(threshold=7.2), kinds=("scalp",), least=0.0)
    assert (len(scalp), int(scalp.labels.sum())) == (51, 27)


@pytest.mark.realdata
def test_the_signal_is_that_of_the_file(folder):
    """Where a second was recorded whole, the example is the mean of the file's samples, as wfdb
    reads them.
    """
    for record in sorted(p.stem for p in folder.glob("*.hea"))[:20]:
        x, _ = read_example(folder, record, 30.0, 1.0)
        raw = wfdb.rdrecord(str(folder / record)).p_signal[-7200:, 0].reshape(-1, 4)
        whole = (
            (raw > 60).all(axis=1)
            & (np.abs(np.diff(raw, axis=1)) < 3).all(axis=1)
            & np.isfinite(x[0])
        )
        assert whole.sum() > 100, record
        same = np.isclose(x[0][whole], raw[whole].mean(axis=1), atol=1e-4)
        assert same.mean() > 0.95, record  # the rest lies between two jumps: cut out and bridged


@pytest.mark.realdata
def test_windows_keep_their_recording(folder):
    recordings = ctg_records(
        folder, sorted(p.stem for p in folder.glob("*.hea"))[:12], rule=LabelRule(threshold=7.2)
    )
    cut = ctg_windows(recordings)
    assert set(cut.groups) == set(recordings.groups)
    assert len(cut) <= 5 * len(recordings)
    assert dict(zip(cut.groups, cut.labels)) == dict(zip(recordings.groups, recordings.labels))


@pytest.mark.realdata
def test_features_of_windows_are_those_of_the_exact_values(folder):
    "A heart rate is a multiple of 1/16 bpm; ties matter to the baseline, so values stay exact."
    recordings = ctg_records(
        folder, sorted(p.stem for p in folder.glob("*.hea"))[:30], rule=LabelRule(threshold=7.2)
    )
    cut = ctg_windows(recordings)
    rows, windows = [], list(zip(cut.table.record, cut.table.window))
    for record in dict.fromkeys(cut.table.record):
        fhr, uc = read_record(folder, record).signals
        clean = [clean_fhr(fhr)[0][-7200:], clean_uc(uc)[-7200:]]
        fhr, uc = (np.repeat(downsample(*fill_short_gaps(x), 4.0, 1.0)[0], 4) for x in clean)
        for start in [k * 1200 for r, k in windows if r == record]:
            part = slice(start, start + 2400)
            rows.append(list(ctg_features(fhr[part], uc[part]).values()))
    same = np.isclose(
        cut.table[list(FEATURES)].to_numpy(float), rows, rtol=1e-5, atol=1e-5, equal_nan=True
    )
    # the others: ties among interpolated values
    assert same.all(axis=1).mean() > 0.95, same.mean(axis=0)


def test_an_example_is_the_cleaned_and_averaged_signal(tmp_path):
    folder = simulate_ctu_uhb(tmp_path, n_records=12, minutes=12)
    recordings = ctg_records(folder, rule=LabelRule(threshold=7.3), minutes=10.0)
    for record, x in zip(recordings.table.record, recordings.signals):
        fhr, uc = read_record(folder, record).signals
        # tolerances in bpm and in sensor units; a float32 is rounded to less than 1e-5
        for row, clean, atol in zip(x, (clean_fhr(fhr)[0], clean_uc(uc)), (2e-5, 5e-5)):
            y, real = downsample(*fill_short_gaps(clean[-2400:]), 4.0, 1.0)
            np.testing.assert_array_equal(np.isfinite(row), real)
            np.testing.assert_allclose(row[real], y[real], rtol=0, atol=atol)


OPENED = None  # a Counter while files are counted


def count_opens(event, args):
    "An audit hook: a file that this process opens."
    if event == "open" and OPENED is not None and isinstance(args[0], str | Path):
        OPENED[Path(args[0]).name] += 1


@pytest.fixture(scope="module")
def opens():
    "A function that counts how often each file is opened while it calls another."

    def counted(read):
        global OPENED
        OPENED = Counter()
        try:
            read()
            return OPENED
        finally:
            OPENED = None

    sys.addaudithook(count_opens)
    return counted


def test_every_header_is_read_once(tmp_path, monkeypatch, opens):
    "One open of the header and one of the signals for each record, apart from the fingerprint."
    monkeypatch.setattr(ctg, "fingerprint", lambda folder: "0")
    folder, mine = (
        simulate_ctu_uhb(tmp_path / "db", n_records=12, minutes=12),
        simulate_site(tmp_path / "mine", n_records=8, minutes=12),
    )
    records, own = ([p.stem for p in sorted(f.glob("*.hea"))] for f in (folder, mine))
    for names, read in (
        (records, lambda: ctg_records(folder, rule=LabelRule(threshold=7.3), minutes=10.0)),
        (own, lambda: own_folder(mine, minutes=10.0)),
        (records[:1], lambda: read_example(folder, records[0], 10.0, 1.0)),
    ):
        found = {name: n for name, n in opens(read).items() if name.endswith((".hea", ".dat"))}
        assert found == {f"{r}.{end}": 1 for r in names for end in ("hea", "dat")}


def test_a_record_without_contractions(tmp_path):
    wfdb.wrsamp(
        "h1",
        fs=4,
        units=["bpm"],
        sig_name=["FHR"],
        p_signal=np.full((400, 1), 140.0),
        fmt=["16"],
        write_dir=str(tmp_path),
    )
    assert read_record(tmp_path, "h1").channels == ("FHR",)
    with pytest.raises(DataError, match="record h1: no channel UC; found FHR"):
        read_example(tmp_path, "h1", 1.0, 1.0)
