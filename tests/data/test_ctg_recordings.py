"""Recordings of CTU-UHB in physical units, on the real records; and what reading them costs."""

import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from biosig_nb.data.databases.ctu_uhb_ctgdb import LabelRule
from biosig_nb.data.segments import ctg as ctg_births
from biosig_nb.data.segments.ctg import ctg_records, ctg_windows, own_folder, read_example
from biosig_nb.data.simulate.ctu_uhb_ctgdb import simulate_ctu_uhb, simulate_site
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
def test_births_of_the_slices(folder):
    recordings = ctg_records(folder, rule=LabelRule(threshold=7.2))
    assert (
        recordings.signals.shape[1:] == (2, 1800)
        and recordings.labels.sum() == (recordings.table.pH < 7.2).sum()
    )
    assert recordings.signals.dtype == np.float32 and recordings.channels == ("FHR", "UC")
    fhr, uc = recordings.signals[:, 0], recordings.signals[:, 1]
    assert 50 <= np.nanmin(fhr) and np.nanmax(fhr) <= 220 and 110 < np.nanmedian(fhr) < 150  # bpm
    # sensor units
    assert (
        0 <= np.nanmin(uc) and 50 < np.nanmax(uc) <= 100 and not np.isinf(recordings.signals).any()
    )
    # gaps stay, the short ones are bridged
    assert 0.02 < np.isnan(fhr).mean() < recordings.table.missing_share.mean()
    assert recordings.flow.dropped.sum() + len(recordings) == recordings.flow.kept.iloc[0]
    assert 0.05 < recordings.table.missing_share.median() < 0.4
    assert recordings.table[list(FEATURES)].notna().mean().min() > 0.5
    assert 110 < recordings.table["baseline"].median() < 150
    scalp = ctg_records(folder, rule=LabelRule(threshold=7.2), kinds=("scalp",), least=0.0)
    assert (len(scalp), int(scalp.labels.sum())) == (51, 27)


@pytest.mark.realdata
def test_the_trace_is_that_of_the_file(folder):
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
        assert same.mean() > 0.95, record  # the rest lay between two jumps, was cut out and bridged


@pytest.mark.realdata
def test_windows_keep_their_birth(folder):
    recordings = ctg_records(
        folder, sorted(p.stem for p in folder.glob("*.hea"))[:12], rule=LabelRule(threshold=7.2)
    )
    cut = ctg_windows(recordings)
    assert set(cut.groups) == set(recordings.groups) and len(cut) <= 5 * len(recordings)
    assert dict(zip(cut.groups, cut.labels)) == dict(zip(recordings.groups, recordings.labels))


@pytest.mark.realdata
def test_features_of_windows_are_those_of_the_exact_values(folder):
    """A heart rate is a multiple of 1/16 bpm and ties matter to the baseline, so that a cohort must
    keep it exactly.
    """
    recordings = ctg_records(
        folder, sorted(p.stem for p in folder.glob("*.hea"))[:30], rule=LabelRule(threshold=7.2)
    )
    cut = ctg_windows(recordings)
    rows, windows = [], list(zip(cut.table.record, cut.table.window))
    for record in dict.fromkeys(cut.table.record):
        fhr, uc = read_record(folder, record).signals
        traces = [clean_fhr(fhr)[0][-7200:], clean_uc(uc)[-7200:]]
        fhr, uc = (np.repeat(downsample(*fill_short_gaps(x), 4.0, 1.0)[0], 4) for x in traces)
        rows += [
            list(
                ctg_features(
                    fhr[k * 1200 : k * 1200 + 2400], uc[k * 1200 : k * 1200 + 2400]
                ).values()
            )
            for r, k in windows
            if r == record
        ]
    same = np.isclose(
        cut.table[list(FEATURES)].to_numpy(float), rows, rtol=1e-5, atol=1e-5, equal_nan=True
    )
    # the others: ties among interpolated values
    assert same.all(axis=1).mean() > 0.95, same.mean(axis=0)


def test_what_the_old_scaling_made_of_it(tmp_path):
    """Centred at 135 bpm and divided by 20 and 50, with masks, an example is what networks were
    given before cohorts held physical units.
    """
    folder = simulate_ctu_uhb(tmp_path, n_records=12, minutes=12)
    recordings = ctg_records(folder, rule=LabelRule(threshold=7.3), minutes=10.0)
    for record, x in zip(recordings.table.record, recordings.signals):
        fhr, uc = read_record(folder, record).signals
        for k, (trace, centre, spread) in enumerate(
            ((clean_fhr(fhr)[0], 135, 20), (clean_uc(uc), 0, 50))
        ):
            y, real = downsample(*fill_short_gaps(trace[-2400:]), 4.0, 1.0)
            np.testing.assert_array_equal(np.isfinite(x[k]), real)
            np.testing.assert_allclose(
                (x[k][real] - centre) / spread, (y[real] - centre) / spread, atol=1e-6
            )


OPENED = None  # a Counter while somebody counts


def count_opens(event, args):
    "An audit hook: a file that is opened, by whomever in this process."
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
    """One open of the header and one of the signals, a record.

    What the fingerprint of the folder reads is its own affair.
    """
    monkeypatch.setattr(ctg_births, "fingerprint", lambda folder: "0")
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
