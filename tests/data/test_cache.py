"""The cache: exact recordings, one build by many processes, entries in use stay, damage shows."""

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

from biosig_nb.data.cache import cache_entries, clear_cache
from biosig_nb.data.cached_cohorts import CachedSignals, cached, cached_table
from biosig_nb.data.cohort import Cohort
from biosig_nb.data.databases.ptb_xl import ptbxl_records
from biosig_nb.learn.features import Brightness, image_features

COMMON = """
import os, sys, time
from pathlib import Path
import numpy as np, pandas as pd
from biosig_nb.data.cached_cohorts import cached, cached_table
from biosig_nb.data.cohort import Cohort
from biosig_nb.data.simulated_root import simulated_root
folder = Path(sys.argv[1]); cache = folder / "cache"

def cohort(seed=5, n=6):
    ids = [f"r{i}" for i in range(n)]
    x = np.random.default_rng(seed).normal(size=(n, 2, 50)).astype(np.float32)
    table = pd.DataFrame({"a": range(n)}, index=pd.Index(ids, name="example"))
    names = ("I", "II"), ("no", "yes")
    return Cohort(x, np.arange(n) % 2, np.array(ids), table, 100., *names, {"database": "x"})

def total(cohort):
    return float(np.asarray(cohort.signals, float).sum())

def note():
    with open(folder / "built", "a") as f: f.write("x")

def wait():
    note()
    time.sleep(float(sys.argv[2]))
"""

BUILDS = {
    "cohort": """
def build(): wait(); return cohort()
print(total(cached(build, cache, {"a": 1})))""",
    "table": """
def build(): wait(); return pd.DataFrame({"a": [1., 2.5]})
print(cached_table(build, cache, {"a": 1}).a.sum())""",
    "recordings": """
def write(root):
    (root / "a.dat").write_bytes(b"12")
    wait()
    (root / "b.dat").write_bytes(b"3")
root = simulated_root(cache, {"a": 1}, write)
print(sorted(p.read_bytes() for p in root.glob("*.dat")))""",
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
    answers = [job.communicate(timeout=60)[0] for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0]
    assert answers[0] == answers[1] != ""
    assert (tmp_path / "built").read_text() == "x"


@pytest.mark.parametrize("kind", BUILDS)
def test_killed_builder(tmp_path, kind):
    job = start(BUILDS[kind], tmp_path, 60)
    until((tmp_path / "built").exists)
    job.send_signal(signal.SIGKILL)
    job.wait(10)
    assert list((tmp_path / "cache").rglob("*.tmp"))  # half of an entry, under another name
    after = start(BUILDS[kind], tmp_path, 0)
    assert after.communicate(timeout=60)[0]
    assert after.returncode == 0
    assert (tmp_path / "built").read_text() == "xx"
    assert not list((tmp_path / "cache").rglob("*.tmp"))


HOLDS = {
    "cohort": """
use = cached(lambda: cohort(3), cache, {"held": 1})
print("open", flush=True); sys.stdin.readline()
print(abs(total(use) - total(cohort(3))) < .1)""",
    "recordings": """
use = simulated_root(cache, {"held": 1}, lambda root: (root / "a.dat").write_bytes(b"12"))
print("open", flush=True); sys.stdin.readline()
print((use / "a.dat").read_bytes() == b"12")""",
}


@pytest.mark.parametrize("kind", HOLDS)
def test_what_a_process_uses_stays_until_it_ends(tmp_path, monkeypatch, kind):
    monkeypatch.setenv("BIOSIG_CACHE_GB", "0")
    cache = tmp_path / "cache"

    def held():
        return "held=1" in " ".join(cache_entries(cache).built_from)

    job = start(HOLDS[kind], tmp_path)
    assert job.stdout.readline() == "open\n"
    for n in range(2):
        cached_table(lambda: pd.DataFrame({"a": [1.0]}), cache, {"n": n})  # no room for anything
    assert held()
    assert len(cache_entries(cache)) == 2
    assert len(clear_cache(cache).query("kind != 'table'")) == 0
    assert held()
    assert job.communicate("\n", timeout=30)[0] == "True\n"
    cached_table(lambda: pd.DataFrame({"a": [1.0]}), cache, {"n": 3})
    assert not held()


def test_a_killed_process_uses_nothing(tmp_path):
    job = start(HOLDS["cohort"], tmp_path)
    assert job.stdout.readline() == "open\n"
    assert len(clear_cache(tmp_path / "cache")) == 0
    job.send_signal(signal.SIGKILL)
    job.wait(10)
    assert len(clear_cache(tmp_path / "cache")) == 1
    assert len(cache_entries(tmp_path / "cache")) == 0


CROWD = """
rng = np.random.default_rng(int(sys.argv[2]))
for k in map(int, rng.integers(0, 5, 40)):
    assert abs(total(cached(lambda: cohort(k), cache, {"n": k})) - total(cohort(k))) < .1
    assert cached_table(lambda: pd.DataFrame({"a": [float(k)]}), cache, {"n": k}).a[0] == k
    root = simulated_root(cache, {"n": k}, lambda root: (root / "a").write_text(str(k)))
    assert (root / "a").read_text() == str(k)
print("well")
"""


def test_processes_that_remove_each_others_entries_read_what_they_want(tmp_path):
    jobs = [start(CROWD, tmp_path, n, BIOSIG_CACHE_GB="0") for n in range(3)]
    assert [job.communicate(timeout=240)[0] for job in jobs] == ["well\n"] * 3
    assert not list((tmp_path / "cache").rglob("*.tmp"))


def test_any_damage_is_noticed(tmp_path):
    built = []

    def cohort():
        built.append(1)
        return small(4)

    def table():
        built.append(1)
        return pd.DataFrame({"rate": [60.0, 70.0], "axis": [1.0, np.nan]})

    signals = np.array(cached(cohort, tmp_path, {}).signals)
    rates = cached_table(table, tmp_path, {})
    rng, files = random.Random(0), sorted(tmp_path.glob("*/*"))
    assert len(files) == 7
    assert len(built) == 2
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
        assert np.array_equal(found.signals[:], signals)
        assert found.label_names == ("no", "yes")
        assert found.fs == 100
        pd.testing.assert_frame_equal(cached_table(table, tmp_path, {}), rates)
        if path.name != "meta.json":  # there, a blank may have been hit
            assert len(built) == before + 1


def test_features_make_room_too(tmp_path, monkeypatch):
    pictures = [
        np.random.default_rng(k).integers(0, 256, (8, 8)).astype(np.uint8) for k in range(6)
    ]
    cached_table(lambda: pd.DataFrame({"a": np.arange(500.0)}), tmp_path, {})
    first = image_features(pictures, Brightness(), tmp_path)
    assert set(cache_entries(tmp_path).kind) == {"table", "features"}
    monkeypatch.setenv("BIOSIG_CACHE_GB", "0")
    image_features(pictures, Brightness(), tmp_path, prepared="again")
    assert list(cache_entries(tmp_path).kind) == ["features"]
    cached_table(lambda: pd.DataFrame({"a": [1.0]}), tmp_path, {})
    assert list(cache_entries(tmp_path).kind) == ["table"]
    assert not list(tmp_path.glob("*.json"))
    assert np.array_equal(image_features(pictures, Brightness(), tmp_path), first)


def test_environment_says_where(tmp_path, monkeypatch):
    monkeypatch.setenv("BIOSIG_CACHE", str(tmp_path / "here"))
    cached_table(lambda: pd.DataFrame({"a": [1.0]}), None, {"of": "a test"})
    image_features([np.zeros((2, 2), np.uint8)], Brightness(), None)
    assert list(cache_entries().kind) == ["features", "table"]
    assert list(cache_entries(tmp_path / "here").kind) == ["features", "table"]
    assert len(clear_cache(older_than_days=1)) == 0
    assert len(clear_cache()) == 2


@pytest.mark.realdata
def test_recordings_come_back_exactly(tmp_path):
    root = os.environ.get("BIOSIG_DATA")
    folder = Path(root) / "ptb-xl/1.0.3" if root else None
    if folder is None or not folder.is_dir():
        pytest.skip("BIOSIG_DATA holds no ptb-xl")
    read = ptbxl_records(folder, "all")
    key = {"fingerprint": read.provenance["fingerprint"], "task": "all"}
    cached(lambda: read, tmp_path, key)
    again = cached(None, tmp_path, key)
    assert isinstance(again.signals, CachedSignals)
    assert (np.asarray(again.signals) == read.signals).all()
    assert again.provenance["rounding"] == {"largest_error": 0.0, "exact_share": 1.0}
    assert (again.labels == read.labels).all()
    assert (again.groups == read.groups).all()
    assert again.label_names == read.label_names
    assert again.channels == read.channels
    pd.testing.assert_frame_equal(again.table, read.table)
    pd.testing.assert_frame_equal(again.flow, read.flow)
    index = np.random.default_rng(0).permutation(len(read))[:50]
    assert (again.take(index).check(adc_limit=20).signals == read.signals[index]).all()
