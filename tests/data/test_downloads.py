"""Downloads as a user meets them: full disks, existing downloads in other layouts, a first run."""

import os
import shutil
import subprocess
import time
import zipfile
from pathlib import Path
from unittest.mock import patch

import pytest
from bad_server import Server, made_up
from faults import World, full_disk

from biosig_nb.cli import main
from biosig_nb.data.catalog import get_database, locate
from biosig_nb.data.downloads.adopt import adopt
from biosig_nb.data.downloads.check import check_database
from biosig_nb.data.downloads.network import Network
from biosig_nb.data.downloads.obtain import obtain
from biosig_nb.data.downloads.plans import Selection
from biosig_nb.errors import DataError

SLICES = Path(os.environ.get("BIOSIG_DATA") or "nowhere")
real = pytest.mark.realdata


def slices(slug):
    "Folder of a database's slices; the test is skipped where they are not there."
    folder = SLICES / get_database(slug).folder
    if not folder.is_dir():
        pytest.skip(f"no {slug} below BIOSIG_DATA")
    return folder


def cli(*args):
    "Exit code of a command."
    with pytest.raises(SystemExit) as e:
        main([str(arg) for arg in args])
    return e.value.code


def same(a, b):
    "Whether two folders hold the same files, lists of records aside."
    files = {p.relative_to(a) for p in a.rglob("*") if p.is_file() and p.name != "RECORDS"}
    return files and all((b / f).read_bytes() == (a / f).read_bytes() for f in files)


def test_a_disk_that_is_really_full(tmp_path):
    "Not an error in its place: a file system of 100 kB."
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(small)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        world = World()
        world.data = small / "data"
        room = shutil._ntuple_diskusage(10**9, 0, 10**9)  # as if another program filled it
        with Server(world.mirror) as server:
            with patch("shutil.disk_usage", return_value=room):
                said = world.get(server, 1)
            assert "ctu-uhb-ctgdb: the disk is full; " in said
            assert "files are complete; make room, the same command goes on from there" in said
            assert "\n" not in said
            assert not world.wrong()
            subprocess.run([*mount[:4], "remount,size=1m", *mount[5:]], check=True)
            assert world.get(server) == ""
            assert len(world.final()) == 7
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_full_disk_in_its_place():
    row = full_disk()
    assert "the disk is full" in row.happened
    assert row.then == "complete"


def test_many_folders_and_many_connections(tmp_path):
    "Threads that make the same folders do not get in each other's way."
    for i in range(30):
        made_up(tmp_path / "mirror" / "ctu-uhb-ctgdb" / "1.0.0", f"f{i % 3}", f"g{i}", 2, 100)
    database = get_database("ctu-uhb-ctgdb")
    with Server(tmp_path / "mirror") as server:
        _, out = obtain(database, tmp_path / "data", Network(jobs=8), mirror=server.url)
    assert (len(out.fetched), out.failed) == (150, {})
    check_database(database, tmp_path / "data", Network()).refuse()


def test_nothing_is_asked_of_a_server_twice(tmp_path, capsys):
    made_up(tmp_path / "mirror")
    with Server(tmp_path / "mirror") as server:
        options = ("--mirror", server.url, "--data-root", tmp_path / "data")
        assert cli("data", "get", "ctu-uhb-ctgdb", *options) == 0
        n = len(server.seen)
        assert cli("data", "get", "ctu-uhb-ctgdb", *options) == 0
        assert len(server.seen) == n + 1  # the list
    assert cli("data", "check", "ctu-uhb-ctgdb", "--data-root", tmp_path / "data") == 0
    assert "whole\t13\t" in capsys.readouterr().out


# An existing download as people have it: slug, folders to flatten, how many files are found.
OLD = {
    "mitdb": "mit-bih-arrhythmia-database",
    "ctu-uhb-ctgdb": "ctg",
    "challenge-2017": "training2017",
    "challenge-2021": "WFDB_Ga",
    "hc18": "images",
    "icentia11k-continuous-ecg": "icentia",
}


@real
@pytest.mark.parametrize("slug", OLD)
def test_a_flat_download_is_adopted(slug, tmp_path):
    source, flat = slices(slug), tmp_path / "old" / OLD[slug]
    flat.mkdir(parents=True)
    for path in source.rglob("*"):
        if path.is_file() and path.name != "RECORDS":
            shutil.copyfile(path, flat / path.name)
    (flat / "LICENSE.md").unlink(missing_ok=True)
    out = adopt(get_database(slug), tmp_path / "old", tmp_path / "data", Network())
    assert not out.refused
    found = locate(slug, tmp_path / "data")
    names = {p.name for p in flat.iterdir()}
    assert {p.name for p in found.rglob("*") if p.is_file()} - {"RECORDS"} == names
    if slug != "challenge-2021":  # its slices lie in g1, whatever their number
        assert same(found, source)


@real
def test_a_zip_of_ptbxl_is_adopted(tmp_path):
    source, path = slices("ptb-xl"), tmp_path / "ptb-xl-a-large-dataset-1.0.3.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for one in [*source.glob("*.csv"), *source.glob("records100/0[01]000/*")]:
            archive.write(one, f"ptb-xl-a-large-dataset-1.0.3/{one.relative_to(source)}")
        archive.writestr("ptb-xl-a-large-dataset-1.0.3/index.html", "a page")
    out = adopt(get_database("ptb-xl"), path, tmp_path / "data", Network())
    assert out.copied and not out.refused
    assert same(locate("ptb-xl", tmp_path / "data"), source)
    assert not list((tmp_path / "data").rglob("*.html"))


@real
def test_a_folder_of_patients_is_adopted_and_a_foreign_one_refused(tmp_path):
    source = slices("ptbdb")
    one = next(source.glob("patient*"))
    shutil.copytree(one, tmp_path / "old" / "physionet" / one.name)
    out = adopt(get_database("ptbdb"), tmp_path / "old", tmp_path / "data", Network())
    assert out.linked and same(locate("ptbdb", tmp_path / "data"), source)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    for path in slices("ctu-uhb-ctgdb").glob("10*"):
        shutil.copyfile(path, foreign / f"A0{path.name}")
    with pytest.raises(DataError, match="is what its name says"):
        adopt(get_database("challenge-2017"), foreign, tmp_path / "data", Network())


@real
def test_patients_and_parts(tmp_path):
    slices("ptbdb"), slices("ptb-xl")
    with Server(SLICES) as server:
        ptb = get_database("ptbdb")
        _, out = obtain(ptb, tmp_path, Network(), Selection(patients=2), server.url)
        assert len({name.split("/")[0] for name in out.fetched if "/" in name}) == 2
        xl = get_database("ptb-xl")
        plan, _ = obtain(xl, tmp_path, Network(), Selection(part=True, only="000*"), server.url)
    assert plan.names and all(name.startswith("records100/") for name in plan.names)


@real
@pytest.mark.slow
def test_from_an_empty_machine_to_a_first_run(tmp_path, capsys):
    "`data get --for ctg_ne`, then `run ctg_ne --data real`, timed."
    slices("ctu-uhb-ctgdb")
    where = ("--data-root", tmp_path / "data")
    with Server(SLICES) as server:
        start = time.monotonic()
        assert cli("data", "get", "--for", "ctg_ne", "--mirror", server.url, *where) == 0
        fetched = time.monotonic() - start
    assert cli("run", "ctg_ne", "--data", "real", *where, "--out", tmp_path / "runs") == 0
    print(f"data get {fetched:.1f} s, run {time.monotonic() - start - fetched:.1f} s")
    assert (next((tmp_path / "runs").glob("ctg_ne/*")) / "index.html").is_file()


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl on this machine")
def test_the_benchmark_runs(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2] / "benchmarks"))
    import download

    made_up(tmp_path, records=4)
    (row,) = download.compare(tmp_path, "ctu-uhb-ctgdb", {"no limit": 0}, repeats=1)
    assert row[:3] == ("ctu-uhb-ctgdb", 9, "no limit")
    assert min(row[3:]) > 0
