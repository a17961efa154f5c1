"""Kept cohorts: real recordings come back as they were read, processes that start together build once, a builder that is killed leaves nothing behind."""
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from biosig_nb.data.cache import Kept, cached
from biosig_nb.data.ptbxl import ptbxl_records

PROCESS = """
import sys, time
from pathlib import Path
import numpy as np, pandas as pd
from biosig_nb.data.cache import cached
from biosig_nb.data.cohort import Cohort
folder, wait = Path(sys.argv[1]), float(sys.argv[2])

def build():
    with open(folder / "built", "a") as f: f.write("x")
    time.sleep(wait)
    ids = [f"r{i}" for i in range(6)]
    return Cohort(np.random.default_rng(5).normal(size=(6, 2, 50)).astype(np.float32), np.array([0, 1] * 3), np.array(ids), pd.DataFrame({"a": range(6)}, index=pd.Index(ids, name="example")), 100., ("I", "II"), ("no", "yes"), {"database": "x"})

print(float(np.asarray(cached(build, folder / "kept", {"a": 1}).signals, float).sum()))
"""


def _start(folder: Path, wait: float) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", PROCESS, str(folder), str(wait)], stdout=subprocess.PIPE, text=True)


def test_two_processes_build_once(tmp_path):
    jobs = [_start(tmp_path, 1.5) for _ in range(2)]
    said = [j.communicate(timeout=60)[0] for j in jobs]
    assert [j.returncode for j in jobs] == [0, 0] and said[0] == said[1] != ""
    assert (tmp_path / "built").read_text() == "x"


def test_killed_builder(tmp_path):
    job = _start(tmp_path, 60)
    end = time.monotonic() + 30
    while not (tmp_path / "built").exists() and time.monotonic() < end: time.sleep(.05)
    job.send_signal(signal.SIGKILL); job.wait(10)
    half = next((tmp_path / "kept").glob("*.lock")).with_suffix(".new-1"); half.mkdir(); (half / "signals.npy").write_bytes(b"half")
    after = _start(tmp_path, 0)
    assert after.communicate(timeout=60)[0] and after.returncode == 0
    assert (tmp_path / "built").read_text() == "xx" and not list((tmp_path / "kept").glob("*.new-*"))


@pytest.mark.realdata
def test_recordings_come_back_exactly(tmp_path):
    root = os.environ.get("BIOSIG_DATA")
    folder = Path(root) / "ptb-xl/1.0.3" if root else None
    if folder is None or not folder.is_dir(): pytest.skip("BIOSIG_DATA holds no ptb-xl")
    read = ptbxl_records(folder, "all")
    key = {"fingerprint": read.source["fingerprint"], "task": "all"}
    cached(lambda: read, tmp_path, key)
    began = time.perf_counter(); kept = cached(None, tmp_path, key); took = time.perf_counter() - began
    assert isinstance(kept.signals, Kept) and (np.asarray(kept.signals) == read.signals).all() and kept.source["kept"] == {"largest_error": 0., "exact_share": 1.}
    assert (kept.labels == read.labels).all() and (kept.groups == read.groups).all() and kept.label_names == read.label_names and kept.channels == read.channels
    pd.testing.assert_frame_equal(kept.table, read.table); pd.testing.assert_frame_equal(kept.flow, read.flow)
    assert took < 1
    index = np.random.default_rng(0).permutation(len(read))[:50]
    assert (kept.take(index).check(adc_limit=20).signals == read.signals[index]).all()
