"""A folder of scans from the simulator to sequences of features, as a study goes through them."""
import numpy as np
import pytest
from PIL import Image

from biosig_nb.data.scans import frame_scores, read_scans, to_cohort, windows
from biosig_nb.data.simulate_phantom import simulate_phantom
from biosig_nb.errors import DataError
from biosig_nb.signals.frame_images import frame_square, image_hash


@pytest.fixture(scope="module")
def folder(tmp_path_factory): return simulate_phantom(tmp_path_factory.mktemp("root"), n_scans=3)


def test_from_files_to_frames_scored_once(folder):
    scans = read_scans(folder)
    assert [scans.image(i).shape for i in (0, len(scans) - 1)] == [(160, 200)] * 2 and scans.source["simulated"]
    squares = [frame_square(scans.image(i), size=32) for i in range(len(scans))]
    assert len({image_hash(s) for s in squares}) == len(scans)
    features = np.array([s[::4, ::4, 0].ravel() for s in squares], np.float32)
    cohort = to_cohort(scans, features, windows(scans.table, 8, 3))
    index = np.flatnonzero(cohort.groups == cohort.groups[-1])
    scored = frame_scores(scans, cohort, index, cohort.labels[index].astype(float))
    table = scans.table[scans.table.scan == scans.table.scan.iloc[-1]]
    assert scored.index.tolist() == table.index.tolist() and (scored.p == table.label).all()


def test_a_frame_that_is_lost_or_cut_short_is_named(folder, tmp_path):
    import shutil
    copy = shutil.copytree(folder, tmp_path / "copy")
    last = sorted((copy / "01_5S").glob("*.png"))[-1]
    last.write_bytes(last.read_bytes()[:200])
    with pytest.raises(DataError, match=f"01_5S/{last.name} cannot be read"): read_scans(copy)
    last.unlink()
    with pytest.raises(DataError, match="1 frames of labels.csv have no file: 01_5S/"): read_scans(copy)
    Image.new("L", (200, 160)).save(last)
    assert len(read_scans(copy)) == len(read_scans(folder))
