"""A folder of scans from the simulator to sequences of features, as a study goes through them."""

import shutil

import numpy as np
import pytest
from PIL import Image

from biosig_nb.data.own.sweeps import read_scans
from biosig_nb.data.segments.sweeps import frame_scores, sequence_cohort, windows
from biosig_nb.data.simulate.phantom import simulate_phantom
from biosig_nb.errors import DataError, LeakageError
from biosig_nb.learn.apart import check_signals_apart, duplicates_across
from biosig_nb.signals.frame_images import frame_square


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return simulate_phantom(tmp_path_factory.mktemp("root"), n_scans=3)


def test_from_files_to_frames_scored_once(folder):
    scans = read_scans(folder, simulated=True)
    assert [scans.image(i).shape for i in (0, len(scans) - 1)] == [(160, 200)] * 2
    assert scans.provenance["simulated"]
    squares = [frame_square(scans.image(i), size=32) for i in range(len(scans))]
    assert len({s.tobytes() for s in squares}) == len(scans)
    cohort = sequence_cohort(scans, windows(scans.table, 8, 3))
    assert cohort.check() is cohort
    assert cohort.signals.shape == (len(cohort), 1, 8)
    index = np.flatnonzero(cohort.groups == cohort.groups[-1])
    scored = frame_scores(cohort, index, cohort.labels[index].astype(float))
    table = scans.table[scans.table.scan == scans.table.scan.iloc[-1]]
    assert scored.index.tolist() == table.index.tolist()
    assert (scored.p == table.label).all()


def test_a_frame_that_is_lost_or_cut_short_is_named(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    last = sorted((copy / "01_5S").glob("*.png"))[-1]
    last.write_bytes(last.read_bytes()[:200])
    with pytest.raises(DataError, match=f"01_5S/{last.name}: cannot be read"):
        read_scans(copy)
    last.unlink()
    with pytest.raises(DataError, match="1 frames of labels.csv have no file: 01_5S/"):
        read_scans(copy)
    Image.effect_noise((200, 160), 30).save(last)
    assert len(read_scans(copy)) == len(read_scans(folder))


def test_pictures_are_compared_by_content(folder, tmp_path):
    "The same sweeps under another name are found; other sweeps at the same positions are not."

    def read(path):
        scans = read_scans(path)
        return sequence_cohort(scans, windows(scans.table, 8, 4))

    here = read(folder)
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "source.json").write_text('{"database": "elsewhere"}')
    with pytest.raises(
        LeakageError, match=f"{len(here)} recording.s. of the target are recordings of the source"
    ):
        check_signals_apart(read(copy), here)
    other = read(simulate_phantom(tmp_path, seed=5, n_scans=3))
    assert set(np.asarray(other.signals).ravel()) & set(np.asarray(here.signals).ravel())
    check_signals_apart(other, here)
    whole = np.arange(len(here))
    assert duplicates_across(here.signals, whole, whole) == [(k, k) for k in whole]
    assert duplicates_across(here.signals, whole[:5], whole[5:]) == []
