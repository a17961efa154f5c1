"""The cache: recordings come back as they were read, processes build once, what is in use stays, damage is noticed."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from biosig_nb.data.cache import Kept, cache_entries, cached, clear_cache, kept_table
from biosig_nb.data.cohort import Cohort
from biosig_nb.data.databases.ptb_xl import ptbxl_records
from biosig_nb.learn.features import Brightness, image_features

COMMON = """
import os, sys, time
from pathlib import Path
import numpy as np, pandas as pd
from biosig_nb.data.cache import cached, kept_table
from biosig_nb.data.catalog import simulated_root
from biosig_nb.data.cohort import Cohort
folder = Path(sys.argv[1]); kept = folder / "kept"

def cohort(seed=5, n=6):
    ids = [f"r{i}" for i in range(n)]; labels = np.arange(n) % 2
    x = np.random.default_rng(seed).normal(size=(n, 2, 50)).astype(np.float32)
    return Cohort(x, labels, np.array(ids), pd.DataFrame({"a": range(n)}, index=pd.Index(ids, name="example")), 100., ("I", "II"), ("no", "yes"), {"database": "x"})

def note(what="x"):
    with open(folder / "built", "a") as f: f.write(what)
"""

BUILDS = {
    "cohort": """
def build(): note(); time.sleep(float(sys.argv[2])); return cohort()
print(float(np.asarray(cached(build, kept, {"a": 1}).signals, float).sum()))""",
    "table": """
def build(): note(); time.sleep(float(sys.argv[2])); return pd.DataFrame({"a": [1., 2.5]})
print(kept_table(build, kept, {"a": 1}).a.sum())""",
    "recordings": """
def write(root): note(); (root / "a.dat").write_bytes(b"12"); time.sleep(float(sys.argv[2])); (root / "b.dat").write_bytes(b"3")
print(sorted(p.read_bytes() for p in simulated_root(kept, {"a": 1}, write).glob("*.dat")))""",
}


def start(code: str, *args, **env) -> subprocess.Popen:
    "A process of its own."
    command = [sys.executable, "-c", COMMON + code, *map(str, args)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, env={**os.environ, **env}
    )


def until(holds, seconds: float = 30) -> None:
    "Wait until `holds()`."
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def small(seed: int = 0) -> Cohort:
    "A cohort of six examples."
    ids = [f"r{i}" for i in range(6)]
    signals = np.random.default_rng(seed).normal(size=(6, 2, 50)).astype(np.float32)
    table = pd.DataFrame({"a": range(6)}, index=pd.Index(ids, name="example"))
    return Cohort(
        signals,
        np.arange(6) % 2,
        np.array(ids),
        table,
        100.0,
        ("I", "II"),
        ("no", "yes"),
        {"database": "x"},
    )


@pytest.mark.parametrize("kind", BUILDS)
def test_two_processes_build_once(tmp_path, kind):
    jobs = [start(BUILDS[kind], tmp_path, 1.5) for _ in range(2)]
    said = [j.communicate(timeout=60)[0] for j in jobs]
    assert [j.returncode for j in jobs] == [0, 0] and said[0] == said[1] != ""
    assert (tmp_path / "built").read_text() == "x"


@pytest.mark.parametrize("kind", BUILDS)
def test_killed_builder(tmp_path, kind):
    job = start(BUILDS[kind], tmp_path, 60)
    until((tmp_path / "built").exists)
    job.send_signal(signal.SIGKILL)
    job.wait(10)
    assert list((tmp_path / "kept").rglob("*.tmp"))  # half of an entry, under another name
    after = start(BUILDS[kind], tmp_path, 0)
    assert after.communicate(timeout=60)[0] and after.returncode == 0
    assert (tmp_path / "built").read_text() == "xx" and not list((tmp_path / "kept").rglob("*.tmp"))


HOLDS = {
    "cohort": """
use = cached(lambda: cohort(3), kept, {"held": 1})
print("open", flush=True); sys.stdin.readline()
print(float(np.asarray(use.signals, float).sum() - np.asarray(cohort(3).signals, float).sum()).__abs__() < .1)""",
    "recordings": """
use = simulated_root(kept, {"held": 1}, lambda root: (root / "a.dat").write_bytes(b"12"))
print("open", flush=True); sys.stdin.readline()
print((use / "a.dat").read_bytes() == b"12")""",
}


@pytest.mark.parametrize("kind", HOLDS)
def test_what_a_process_uses_stays_until_it_ends(tmp_path, monkeypatch, kind):
    monkeypatch.setenv("BIOSIG_CACHE_GB", "0")
    kept, there = (
        tmp_path / "kept",
        lambda: "held=1" in " ".join(cache_entries(tmp_path / "kept").built_from),
    )
    job = start(HOLDS[kind], tmp_path)
    assert job.stdout.readline() == "open\n"
    for n in range(2):
        kept_table(lambda: pd.DataFrame({"a": [1.0]}), kept, {"n": n})  # no room for anything
    assert there() and len(cache_entries(kept)) == 2
    assert not len(clear_cache(kept).query("kind != 'table'")) and there()
    assert job.communicate("\n", timeout=30)[0] == "True\n"
    kept_table(lambda: pd.DataFrame({"a": [1.0]}), kept, {"n": 3})
    assert not there()


def test_a_killed_process_uses_nothing(tmp_path):
    job = start(HOLDS["cohort"], tmp_path)
    assert job.stdout.readline() == "open\n"
    assert len(clear_cache(tmp_path / "kept")) == 0
    job.send_signal(signal.SIGKILL)
    job.wait(10)
    assert len(clear_cache(tmp_path / "kept")) == 1 and len(cache_entries(tmp_path / "kept")) == 0


CROWD = """
rng = np.random.default_rng(int(sys.argv[2]))
for k in rng.integers(0, 5, 40):
    found = cached(lambda: cohort(k), kept, {"n": int(k)})
    assert abs(float(np.asarray(found.signals, float).sum()) - np.asarray(cohort(k).signals, float).sum()) < .1
    assert kept_table(lambda: pd.DataFrame({"a": [float(k)]}), kept, {"n": int(k)}).a[0] == k
    root = simulated_root(kept, {"n": int(k)}, lambda root: (root / "a").write_text(str(k)))
    assert (root / "a").read_text() == str(k)
print("well")
"""


def test_processes_that_remove_each_others_entries_read_what_they_want(tmp_path):
    jobs = [start(CROWD, tmp_path, n, BIOSIG_CACHE_GB="0") for n in range(3)]
    assert [j.communicate(timeout=240)[0] for j in jobs] == ["well\n"] * 3
    assert not list((tmp_path / "kept").rglob("*.tmp"))


def test_any_damage_is_noticed(tmp_path):
    built = []

    def cohort():
        built.append(1)
        return small(4)

    def table():
        built.append(1)
        return pd.DataFrame({"rate": [60.0, 70.0], "axis": [1.0, np.nan]})

    whole = [np.array(cached(cohort, tmp_path, {}).signals), kept_table(table, tmp_path, {})]
    rng, files = random.Random(0), sorted(p for p in tmp_path.glob("*/*"))
    assert len(files) == 7 and len(built) == 2
    for n in range(120):
        path = rng.choice(files)
        raw = bytearray(path.read_bytes())
        if n % 10 == 9:
            raw = raw[: rng.randrange(len(raw))]
        else:
            raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
        path.write_bytes(raw)
        before = len(built)
        found = cached(cohort, tmp_path, {})
        assert (
            np.array_equal(found.signals[:], whole[0])
            and found.label_names == ("no", "yes")
            and found.fs == 100
        )
        pd.testing.assert_frame_equal(kept_table(table, tmp_path, {}), whole[1])
        assert (
            len(built) == before + 1 or path.name == "meta.json"
        )  # of meta.json, a blank may have been hit


def test_features_make_room_too(tmp_path, monkeypatch):
    pictures = [
        np.random.default_rng(k).integers(0, 256, (8, 8)).astype(np.uint8) for k in range(6)
    ]
    kept_table(lambda: pd.DataFrame({"a": np.arange(500.0)}), tmp_path, {})
    first = image_features(pictures, Brightness(), tmp_path)
    assert set(cache_entries(tmp_path).kind) == {"table", "features"}
    monkeypatch.setenv("BIOSIG_CACHE_GB", "0")
    image_features(pictures, Brightness(), tmp_path, prepared="again")
    assert list(cache_entries(tmp_path).kind) == ["features"]
    kept_table(lambda: pd.DataFrame({"a": [1.0]}), tmp_path, {})
    assert list(cache_entries(tmp_path).kind) == ["table"] and not list(tmp_path.glob("*.json"))
    assert np.array_equal(image_features(pictures, Brightness(), tmp_path), first)


def test_environment_says_where(tmp_path, monkeypatch):
    monkeypatch.setenv("BIOSIG_CACHE", str(tmp_path / "here"))
    kept_table(lambda: pd.DataFrame({"a": [1.0]}), None, {"of": "a test"})
    image_features([np.zeros((2, 2), np.uint8)], Brightness(), None)
    assert (
        list(cache_entries().kind)
        == list(cache_entries(tmp_path / "here").kind)
        == ["features", "table"]
    )
    assert list(clear_cache(older_than_days=1).kind) == [] and len(clear_cache()) == 2


@pytest.mark.realdata
def test_recordings_come_back_exactly(tmp_path):
    root = os.environ.get("BIOSIG_DATA")
    folder = Path(root) / "ptb-xl/1.0.3" if root else None
    if folder is None or not folder.is_dir():
        pytest.skip("BIOSIG_DATA holds no ptb-xl")
    read = ptbxl_records(folder, "all")
    key = {"fingerprint": read.provenance["fingerprint"], "task": "all"}
    cached(lambda: read, tmp_path, key)
    began = time.perf_counter()
    kept = cached(None, tmp_path, key)
    took = time.perf_counter() - began
    assert (
        isinstance(kept.signals, Kept)
        and (np.asarray(kept.signals) == read.signals).all()
        and kept.provenance["kept"] == {"largest_error": 0.0, "exact_share": 1.0}
    )
    assert (
        (kept.labels == read.labels).all()
        and (kept.groups == read.groups).all()
        and kept.label_names == read.label_names
        and kept.channels == read.channels
    )
    pd.testing.assert_frame_equal(kept.table, read.table)
    pd.testing.assert_frame_equal(kept.flow, read.flow)
    assert took < 1
    index = np.random.default_rng(0).permutation(len(read))[:50]
    assert (kept.take(index).check(adc_limit=20).signals == read.signals[index]).all()
