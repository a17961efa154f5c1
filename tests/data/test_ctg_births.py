"""Births of CTU-UHB as a network sees them, on the real records."""
import os
from pathlib import Path

import numpy as np
import pytest

from biosig_nb.data.ctg_births import CENTRE, SPREAD, ctg_records, ctg_windows, read_birth
from biosig_nb.data.ctg_cohorts import LabelRule
from biosig_nb.data.wfdb_files import read_record
from biosig_nb.errors import DataError
from biosig_nb.signals.ctg_features import FEATURES

wfdb = pytest.importorskip("wfdb")


@pytest.fixture(scope="module")
def folder() -> Path:
    root = os.environ.get("BIOSIG_DATA")
    path = Path(root) / "ctu-uhb-ctgdb/1.0.0" if root else None
    if path is None or not path.is_dir(): pytest.skip("BIOSIG_DATA holds no ctu-uhb-ctgdb")
    return path


@pytest.mark.realdata
def test_births_of_the_slices(folder):
    births = ctg_records(folder, rule=LabelRule(threshold=7.2))
    assert births.signals.shape[1:] == (4, 1800) and births.labels.sum() == (births.table.pH < 7.2).sum()
    assert births.flow.dropped.sum() + len(births) == births.flow.kept.iloc[0]
    assert .05 < births.table.missing_share.median() < .4
    assert births.table[list(FEATURES)].notna().mean().min() > .5
    assert 110 < births.table["baseline"].median() < 150
    scalp = ctg_records(folder, rule=LabelRule(threshold=7.2), kinds=("scalp",), least=0.)
    assert (len(scalp), int(scalp.labels.sum())) == (51, 27)


@pytest.mark.realdata
def test_the_trace_is_that_of_the_file(folder):
    "Where a second was recorded whole, the network's input is the mean of the file's samples, as wfdb reads them."
    for record in sorted(p.stem for p in folder.glob("*.hea"))[:20]:
        x, _ = read_birth(folder, record, 30., 1.)
        raw = wfdb.rdrecord(str(folder / record)).p_signal[-7200:, 0].reshape(-1, 4)
        whole = (raw > 60).all(axis=1) & (np.abs(np.diff(raw, axis=1)) < 3).all(axis=1) & (x[2] > 0)
        assert whole.sum() > 100, record
        same = np.isclose(x[0][whole] * SPREAD + CENTRE, raw[whole].mean(axis=1), atol=.01)
        assert same.mean() > .95, record                                # the rest lay between two jumps, was cut out and bridged


@pytest.mark.realdata
def test_windows_keep_their_birth(folder):
    births = ctg_records(folder, sorted(p.stem for p in folder.glob("*.hea"))[:12], rule=LabelRule(threshold=7.2))
    cut = ctg_windows(births)
    assert set(cut.groups) == set(births.groups) and len(cut) <= 5 * len(births)
    assert dict(zip(cut.groups, cut.labels)) == dict(zip(births.groups, births.labels))


def test_a_record_without_contractions(tmp_path):
    wfdb.wrsamp("h1", fs=4, units=["bpm"], sig_name=["FHR"], p_signal=np.full((400, 1), 140.), fmt=["16"], write_dir=str(tmp_path))
    assert read_record(tmp_path, "h1").channels == ("FHR",)
    with pytest.raises(DataError, match="record h1: no channel UC; found FHR"): read_birth(tmp_path, "h1", 1., 1.)
