"""Complete files: a writer that is killed, readers during the writing, rights of the group."""

import os
import signal
import stat
import subprocess
import sys
import threading

import pandas as pd
import pytest

from biosig_nb.files import whole_file, whole_folder, write_json, write_whole

SLOW = """
import sys, time
from biosig_nb.files import whole_file, whole_folder
kind = whole_file if sys.argv[1] == "file" else whole_folder
with kind(sys.argv[2]) as part:
    with open(part if kind is whole_file else part / "a", "wb") as f:
        f.write(b"half")
        f.flush()
        print("writing", flush=True)
        time.sleep(60)
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_killed_writer_leaves_the_old_one(tmp_path, kind):
    path = tmp_path / "x.txt"
    if kind == "file":
        write_whole(path, "old")
    else:
        with whole_folder(path) as part:
            (part / "a").write_text("old")
    job = subprocess.Popen(
        [sys.executable, "-c", SLOW, kind, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert job.stdout.readline() == "writing\n"
    job.send_signal(signal.SIGKILL)
    job.wait(10)
    assert (path if kind == "file" else path / "a").read_text() == "old"
    assert list(tmp_path.glob("*.txt")) == [path], "the half file has another suffix"
    (left,) = tmp_path.glob(".x.txt.*.tmp")
    assert left.is_file() == (kind == "file")


def test_readers_see_complete_files_only(tmp_path):
    path, seen, stop = tmp_path / "x.json", set(), threading.Event()
    write_json(path, {"n": 0, "text": "0" * 50_000})

    def read():
        while not stop.is_set():
            seen.add(len(path.read_bytes()))

    def write(k):
        for _ in range(20):
            write_json(path, {"n": k, "text": str(k) * 50_000})

    readers = [threading.Thread(target=read) for _ in range(2)]
    writers = [threading.Thread(target=write, args=[k]) for k in range(3)]
    for thread in (*readers, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in readers:
        thread.join()
    assert seen == {path.stat().st_size}, "all contents have the same length"
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


@pytest.mark.skipif(os.name != "posix", reason="rights of files on POSIX")
@pytest.mark.parametrize("mask, rights", [(0o022, 0o644), (0o027, 0o640), (0o002, 0o664)])
def test_rights_follow_the_umask(tmp_path, mask, rights):
    before = os.umask(mask)
    try:
        write_json(tmp_path / "x.json", {})
        with whole_file(tmp_path / "t.parquet") as part:
            pd.DataFrame({"a": [1]}).to_parquet(part)
        with whole_folder(tmp_path / "f") as part:
            (part / "a").touch()
    finally:
        os.umask(before)
    found = {p.name: stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()}
    assert found == {"x.json": rights, "t.parquet": rights, "f": rights | (rights >> 2 & 0o111)}


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = write_whole(tmp_path / "x", "old")

    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
