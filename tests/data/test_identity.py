"""A fingerprint changes with anything that a number could depend on, and with nothing else."""

import hashlib
import os
import random
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from biosig_nb.data import fingerprints
from biosig_nb.data.databases.hc18 import hc18_sweeps
from biosig_nb.data.fingerprints import SMALL, file_hashes, fingerprint
from biosig_nb.data.own.sweeps import read_scans
from biosig_nb.data.simulate.mitdb import simulate_mitdb
from biosig_nb.data.simulate.phantom import simulate_phantom
from biosig_nb.errors import DataError


@pytest.fixture(scope="module")
def databases(tmp_path_factory):
    "A folder with two databases: records with annotations and a table, and scans."
    root = tmp_path_factory.mktemp("root")
    folder = simulate_mitdb(root, n_records=2, minutes=2)
    (folder / "labels.csv").write_text("record,label\n100,0\n101,1\n")
    simulate_phantom(root, n_scans=2)
    return root


@pytest.fixture
def root(databases, tmp_path, monkeypatch):
    "A copy to spoil, an empty cache, and a clock that makes all files old enough to be remembered."
    monkeypatch.setenv("BIOSIG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fingerprints.time, "time_ns", lambda now=time.time_ns: now() + 10**10)
    return shutil.copytree(databases, tmp_path / "root")


@pytest.fixture
def reads(monkeypatch):
    "Names of the large files that were read."
    found, digest = [], fingerprints._digest

    def counted(path):
        found.append(os.path.basename(path))
        return digest(path)

    monkeypatch.setattr(fingerprints, "_digest", counted)
    return found


def edit(path, old: bytes, new: bytes):
    "Other content of the same length, with the time of change put back."
    before, raw = path.stat(), path.read_bytes()
    assert len(old) == len(new)
    assert old in raw
    path.write_bytes(raw.replace(old, new, 1))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def flip(path, at: int = 1000):
    "One bit of a sample."
    raw = path.read_bytes()
    edit(path, raw[at : at + 8], bytes([raw[at] ^ 1]) + raw[at + 1 : at + 8])


CHANGES = {
    "a label": lambda f: edit(f / "labels.csv", b"100,0", b"100,1"),
    "a gain": lambda f: edit(f / "100.hea", b"200", b"100"),
    "a sample": lambda f: flip(f / "100.dat"),
    "an annotation": lambda f: flip(f / "100.atr", 20),
    "the list of records": lambda f: edit(f / "RECORDS", b"100\n101", b"101\n100"),
    "a name": lambda f: (f / "100.atr").rename(f / "100.qrs"),
    "a file less": lambda f: (f / "100.atr").unlink(),
    "a file more": lambda f: (f / "notes").touch(),
    "two files exchanged": lambda f: (
        (f / "100.dat").rename(f / "x"),
        (f / "101.dat").rename(f / "100.dat"),
        (f / "x").rename(f / "101.dat"),
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_any_change_is_seen(root, change):
    folder = root / "mitdb" / "1.0.0"
    assert (folder / "100.dat").stat().st_size > SMALL  # its hash is remembered
    before = [fingerprint(folder) for _ in range(2)]
    CHANGES[change](folder)
    after = [fingerprint(folder) for _ in range(2)]
    assert before[0] == before[1] != after[0] == after[1]


def test_what_does_not_matter(root, tmp_path, reads):
    folder = root / "mitdb" / "1.0.0"
    before = fingerprint(folder)
    assert sorted(reads) == ["100.dat", "101.dat"]
    assert fingerprint(folder) == before
    assert len(reads) == 2  # remembered
    for path in folder.iterdir():
        path.touch()
    assert fingerprint(folder) == before
    assert len(reads) == 4  # touched: read again, found the same
    (folder / "100.hea").chmod(0o600)
    assert fingerprint(shutil.copytree(folder, tmp_path / "elsewhere")) == before
    assert fingerprint(os.path.relpath(folder)) == fingerprint(str(folder) + "/") == before


def test_only_what_the_patterns_say(root):
    folder = root / "mitdb" / "1.0.0"
    before = fingerprint(folder, ("*.dat", "*.hea"))
    CHANGES["a label"](folder)
    CHANGES["an annotation"](folder)
    assert fingerprint(folder, ("*.dat", "*.hea")) == before
    CHANGES["a sample"](folder)
    assert fingerprint(folder, ("*.dat", "*.hea")) != before


def test_a_file_that_was_just_changed_is_not_remembered(databases, tmp_path, monkeypatch):
    monkeypatch.setenv("BIOSIG_CACHE", str(tmp_path / "cache"))
    folder = shutil.copytree(databases, tmp_path / "root") / "mitdb" / "1.0.0"
    for _ in range(3):  # within one tick of the file system's clock, and with the times of before
        flip(folder / "100.dat")
        content = (folder / "100.dat").read_bytes()
        assert file_hashes([folder / "100.dat"])[0] == hashlib.sha256(content).hexdigest()


def test_damage_to_the_store_changes_nothing(root, tmp_path):
    folder, store = root / "mitdb" / "1.0.0", tmp_path / "cache" / "hashes.sqlite"
    truth, rng = fingerprint(folder), random.Random(0)
    for n in range(400):
        assert fingerprint(folder) == truth
        raw = bytearray(store.read_bytes())
        used = [i for i, b in enumerate(raw) if b] or [0]
        if n % 20 == 19:
            raw = raw[: rng.randrange(len(raw))]
        else:
            raw[rng.choice(used)] ^= 1 << rng.randrange(8)
        store.write_bytes(raw)
        assert fingerprint(folder) == truth


@pytest.mark.parametrize("fault", ["a file", "a folder in its place", "not allowed"])
def test_without_a_store(root, tmp_path, monkeypatch, fault, reads):
    folder, cache = root / "mitdb" / "1.0.0", tmp_path / "cache"
    if fault == "a file":
        cache.write_text("x")
    if fault == "a folder in its place":
        (cache / "hashes.sqlite").mkdir(parents=True)
    if fault == "not allowed":
        fingerprint(folder)
        monkeypatch.setattr(fingerprints, "_TABLE", "ATTACH '/no/such/folder/x' AS y")
        reads.clear()
    assert fingerprint(folder) == fingerprint(folder)
    assert len(reads) == 4  # read each time


MANY = """
import sys
from biosig_nb.data import fingerprints
now = fingerprints.time.time_ns; fingerprints.time.time_ns = lambda: now() + 10**10
print({fingerprints.fingerprint(sys.argv[1]) for _ in range(20)})
"""


def test_several_processes(root):
    folder = root / "mitdb" / "1.0.0"
    jobs = [
        subprocess.Popen(
            [sys.executable, "-c", MANY, str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    answers = {job.communicate(timeout=60) for job in jobs}
    assert answers == {(str({fingerprint(folder)}) + "\n", "")}


def test_a_linked_file_counts_and_a_linked_folder_does_not(root, tmp_path):
    if os.name != "posix":
        pytest.skip("links on POSIX")
    folder, outside = root / "mitdb" / "1.0.0", tmp_path / "outside"
    outside.mkdir()
    (outside / "x.csv").write_text("1")
    (outside / "big.dat").write_bytes(b"0" * 2 * SMALL)
    before = fingerprint(folder)
    (folder / "linked").symlink_to(outside)
    (folder / "round").symlink_to(root)
    assert fingerprint(folder) == fingerprint(folder, ("**/*", "*/*", "*")) == before
    found = {before}
    for name, change in (
        ("x.csv", lambda: (outside / "x.csv").write_text("2")),
        ("big.dat", lambda: flip(outside / "big.dat")),
    ):
        (folder / name).symlink_to(outside / name)
        found.add(fingerprint(folder))
        change()
        found.add(fingerprint(folder))
    assert len(found) == 5
    (folder / "nowhere").symlink_to(tmp_path / "gone")
    assert fingerprint(folder) in found


def test_what_cannot_be_read_is_named(root):
    with pytest.raises(DataError, match="nothing: cannot be read"):
        fingerprint(root / "nothing")
    with pytest.raises(DataError, match="x.dat: cannot be read"):
        file_hashes([root / "x.dat"])


def test_scans_by_content(root):
    folder = root / "phantom"

    def current():
        return read_scans(folder).provenance["fingerprint"]

    picture = sorted(folder.glob("*/*.png"))[3]
    whole = picture.read_bytes()
    table = (folder / "labels.csv").read_text()
    facts = (folder / "source.json").read_text()
    found = [current()]
    edit(folder / "labels.csv", b",0,", b",1,")
    found.append(current())
    (folder / "labels.csv").write_text(table)
    picture.write_bytes(whole + b" ")
    found.append(current())  # not a pixel, but another file
    edit(picture, whole + b" ", whole + b"\n")
    found.append(current())
    picture.write_bytes(whole)
    edit(folder / "source.json", b"2.0", b"4.0")
    found.append(current())
    (folder / "source.json").write_text(facts)
    assert len(set(found)) == 5
    assert current() == found[0]


def test_stills_by_content(tmp_path, monkeypatch):
    from PIL import Image, ImageDraw

    monkeypatch.setenv("BIOSIG_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "hc18" / "training_set"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for k in range(3):
        Image.fromarray(rng.integers(0, 255, (60, 80)).astype(np.uint8)).save(
            folder / f"{k:03d}_HC.png"
        )
        note = Image.new("L", (80, 60))
        ImageDraw.Draw(note).ellipse((20, 10, 60, 50), fill=255)
        note.save(folder / f"{k:03d}_HC_Annotation.png")

    def current():
        return hc18_sweeps(tmp_path / "hc18").provenance["fingerprint"]

    found = [current(), current()]
    other = Image.open(folder / "001_HC.png").point(lambda v: v ^ 1)
    other.save(folder / "001_HC.png")  # a pixel's last bit
    assert found[0] == found[1] != current()
