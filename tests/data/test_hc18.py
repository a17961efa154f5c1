"""HC18 as panned sweeps, on the real images, against the publisher's table and PIL."""

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from biosig_nb.data.databases.hc18 import hc18_images, hc18_sweeps, head_mask, window_shares
from biosig_nb.data.segments.sweep_position import position_auroc
from biosig_nb.data.segments.sweeps import Scans, frame_means, sequence_cohort, windows


@pytest.fixture(scope="module")
def folder() -> Path:
    root = os.environ.get("BIOSIG_DATA")
    path = Path(root) / "hc18" if root else None
    if path is None or not (path / "training_set").is_dir():
        pytest.skip("BIOSIG_DATA holds no hc18")
    return path


@pytest.fixture(scope="module")
def scans(folder):
    return hc18_sweeps(folder)


def perimeter(mask: np.ndarray) -> float:
    "Of the ellipse with the mask's second moments (Ramanujan's second formula), in pixels."
    y, x = np.nonzero(mask)
    b, a = 2 * np.sqrt(np.linalg.eigvalsh(np.cov(x, y, bias=True)))
    h = ((a - b) / (a + b)) ** 2
    return np.pi * (a + b) * (1 + 3 * h / (10 + np.sqrt(4 - 3 * h)))


@pytest.mark.realdata
def test_masks_have_the_published_circumference(folder):
    "The publisher's table, in mm, is the perimeter of our mask times the pixel size."
    images = hc18_images(folder)
    listed = pd.read_csv(folder / "training_set_pixel_size_and_HC.csv").set_index("filename")
    for name, im in images.iterrows():
        pixel_mm, circumference = listed.loc[f"{name}.png"].iloc[:2]
        ratio = perimeter(head_mask(im.annotation)) * pixel_mm / circumference
        assert abs(ratio - 1) < 0.025, name
    assert images.patient.nunique() == len(
        {p.name.split("_")[0] for p in (folder / "training_set").glob("*_*HC.png")}
    )


@pytest.mark.realdata
def test_windows_lie_within_the_images_and_show_what_the_label_says(folder, scans):
    sizes = {p: Image.open(p).size for p in set(scans.table.path)}
    w, h = np.array([sizes[p] for p in scans.table.path]).T
    t = scans.table
    assert (t.left >= 0).all()
    assert (t.top >= 0).all()
    assert (t.left + t.side <= w).all()
    assert (t.top + t.side <= h).all()
    for i in np.random.default_rng(0).integers(0, len(t), 40):
        r = t.iloc[i]
        box = (r.left, r.top, r.left + r.side, r.top + r.side)
        note = np.asarray(Image.open(r.path.replace(".png", "_Annotation.png")).convert("L")) > 0
        assert (scans.image(i) == np.asarray(Image.open(r.path).crop(box))).all()
        assert r.label == int(note[box[1] : box[3], box[0] : box[2]].sum() / note.sum() >= 0.5)


@pytest.mark.realdata
@pytest.mark.parametrize("seed", range(3))
def test_position_in_the_sweep_predicts_little(folder, seed):
    scans = hc18_sweeps(folder, seed=seed)
    assert max(position_auroc(scans), position_auroc(scans, relative=True)) <= 0.6
    assert 0.1 < scans.labels.mean() < 0.4
    assert 0.2 < (scans.table.groupby("scan").label.max() == 0).mean() < 0.65


@pytest.mark.realdata
def test_the_position_predicts_a_regular_pan(folder):
    "A pan from the left edge to the right over the same images is predicted by the position."
    parts = []
    for name, im in hc18_images(folder).iterrows():
        mask = head_mask(im.annotation)
        shares = window_shares(mask, min(mask.shape) // 2)
        top = int(np.clip(np.argwhere(mask)[:, 0].mean() - min(mask.shape) / 4, 0, len(shares) - 1))
        left = np.linspace(0, shares.shape[1] - 1, 32).astype(int)
        label = (shares[top, left] >= 0.5).astype(int)
        part = pd.DataFrame({"frame": np.arange(32), "label": label})
        parts.append(part.assign(scan=name, patient=im.patient))
    assert position_auroc(Scans(pd.concat(parts), dict(database="hc18"))) > 0.85


@pytest.mark.realdata
def test_sequences_and_cohort(scans):
    at = windows(scans.table, 8, 4)
    scan = scans.table.scan.to_numpy()
    assert (scan[at] == scan[at[:, :1]]).all()
    assert (frame_means(scans.labels[at], at, len(scans)) == scans.labels).all()
    cohort = sequence_cohort(scans, at)
    assert cohort.signals.shape == (len(at), 1, 8)
    assert cohort.labels.shape[1] == 8
    assert not cohort.provenance["simulated"]
    assert (np.asarray(cohort.signals)[:, 0] == at).all()
    few = cohort.take(np.arange(20))
    assert len(set(few.signals.hashes())) == 20


@pytest.mark.realdata
def test_a_part_of_the_database_gives_the_same_sweeps(folder, scans, tmp_path):
    names = scans.table.scan.str.split("-").str[0].unique()[::3]
    (tmp_path / "training_set").mkdir()
    for n in names:
        for end in ("", "_Annotation"):
            shutil.copy(folder / f"training_set/{n}{end}.png", tmp_path / "training_set")
    few = hc18_sweeps(tmp_path)
    columns = ["scan", "frame", "label", "left", "top", "side"]
    assert few.table[columns].equals(scans.table[columns].loc[few.table.index])
    assert few.provenance["fingerprint"] != scans.provenance["fingerprint"]
