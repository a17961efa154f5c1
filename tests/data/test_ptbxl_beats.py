"Beats of PTB-XL on the real recordings: labels from the tables, peaks against wfdb."

import ast
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import wfdb
from wfdb import processing

from biosig_nb.data.databases.ptb_xl_beats import ptbxl_beats

FOLDER = Path(os.environ.get("BIOSIG_DATA") or "/nonexistent") / "ptb-xl/1.0.3"
pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not FOLDER.is_dir(), reason="BIOSIG_DATA holds no ptb-xl/1.0.3"),
]


@pytest.fixture(scope="module")
def beats():
    return ptbxl_beats(FOLDER, patients=150)


def test_labels_are_those_of_the_tables(beats):
    """NORM alone is healthy, any code of the class MI is an infarction: read from the two csv files
    directly.
    """
    folder = FOLDER
    codes = pd.read_csv(folder / "scp_statements.csv", index_col=0)
    of = codes.diagnostic_class[codes.diagnostic == 1]
    classes = pd.read_csv(folder / "ptbxl_database.csv", index_col="ecg_id").scp_codes.map(
        lambda s: {of[c] for c in ast.literal_eval(s) if c in of.index}
    )
    for record, label in dict(
        zip(beats.table.index.str.split("/").str[1].astype(int), beats.labels)
    ).items():
        assert ("MI" in classes[record]) == bool(label)
        assert label or classes[record] == {"NORM"}
    assert len(set(beats.groups[beats.labels == 1])) >= 3
    assert len(set(beats.groups[beats.labels == 0])) >= 3


def test_peaks_are_those_of_another_detector(beats):
    """Nine in ten of the beats have a beat of wfdb's XQRS within 150 ms (the window of AAMI EC57),
    where that detector finds any.
    """
    folder, near = FOLDER, []
    table = pd.read_csv(folder / "ptbxl_database.csv", index_col="ecg_id")
    for record, t in list(beats.table.groupby(beats.table.index.str.split("/").str[1].astype(int)))[
        :40
    ]:
        x = wfdb.rdrecord(str(folder / table.filename_lr[record]), channel_names=["II"]).p_signal[
            :, 0
        ]
        found = processing.xqrs_detect(x, 100, verbose=False)
        if len(found):
            near += [np.abs(found - s).min() <= 15 for s in t["sample"]]
    assert np.mean(near) > 0.9
    assert len(near) > 100


def test_millivolts_are_those_of_the_file(beats):
    "The beats are the file's own values, but for the change from 100 to 125 Hz."
    folder = FOLDER
    table = pd.read_csv(folder / "ptbxl_database.csv", index_col="ecg_id")
    some = beats.take(np.arange(0, len(beats), max(1, len(beats) // 30)))
    for i, (name, s) in enumerate(zip(some.table.index, some.table["sample"])):
        x = wfdb.rdrecord(
            str(folder / table.filename_lr[int(name.split("/")[1])]), channel_names=["II"]
        ).p_signal[:, 0]
        n = int(some.mask[i].sum() / 125 * 100) - 1
        ours = np.interp(np.arange(n) / 100, np.arange(187) / 125, some.signals[i, 0])
        theirs = x[s : s + n]
        assert np.corrcoef(ours, theirs)[0, 1] > 0.9, name
        assert np.median(np.abs(ours - theirs)) < 0.05, name
