"""Every fault of a download, one after the other: what happened, what was left, what the same
command does afterwards. Used by the chapter that shows the table and by the tests.
"""

import errno
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from bad_server import Server, made_up, shown, sums_of

from biosig_nb.data.catalog import get_database
from biosig_nb.data.downloads.get import unfinished
from biosig_nb.data.downloads.network import Network
from biosig_nb.data.downloads.obtain import obtain
from biosig_nb.data.downloads.rules import Limits
from biosig_nb.errors import BiosigError

LIMITS = Limits(connect=2, stall=0.2, pause=0.01, window=0.2, attempts=3)
FILE = "1002.dat"


class Row(NamedTuple):
    "A line of the table."

    fault: str
    happened: str
    left: str
    then: str  # what the same command does when the fault is gone


FAULTS = {  # on one file: name in the table -> answers of the server
    "connection drops halfway": ["drop"],
    "connection drops five times": ["drop"] * 5,
    "server stalls halfway": ["stall"],
    "a byte now and then": ["drip!"],
    "file truncated on the server": ["truncated!"],
    "404": ["404!"],
    "416 on the rest of a file": ["drop", "416"],
    "429 with Retry-After": ["429"],
    "500 once": ["500"],
    "500 always": ["500!"],
    "wrong bytes once": ["wrong"],
    "wrong bytes always": ["wrong!"],
    "longer than listed": ["longer!"],
    "shorter than its header says": ["short"],
    "another range than asked for": ["drop", "shifted"],
    "whole file in place of the rest": ["drop", "unranged"],
    "login page of a network": ["login!"],
    "redirect to another host, http": ["redirect:http://localhost:1!"],
    "redirect to a file": ["redirect:file://!"],
    "redirect loop": ["loop!"],
}


class World:
    "A mirror and a data root in a temporary folder."

    def __init__(self, slug="ctu-uhb-ctgdb"):
        self.temporary = tempfile.TemporaryDirectory()
        self.base = Path(self.temporary.name)
        self.mirror, self.data = self.base / "mirror", self.base / "data"
        self.database = get_database(slug)
        if slug == "ctu-uhb-ctgdb":
            self.source = made_up(self.mirror, records=3)
        else:
            self.source = self.mirror / self.database.folder
            self.source.mkdir(parents=True)
        (self.base / "outside.txt").write_text("untouched")

    def get(self, server, jobs=2):
        "The command: '' where all is here, else its one line."
        network = Network(LIMITS, jobs)
        try:
            plan, out = obtain(self.database, self.data, network, mirror=server.url)
        except BiosigError as e:
            return str(e)
        return unfinished(plan, out)

    def final(self):
        "Name -> content of the database's files."
        folder = self.data / self.database.folder
        files = (p for p in folder.rglob("*") if p.is_file()) if folder.is_dir() else ()
        return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}

    def wrong(self):
        "Files under their final names that are not the publisher's."
        if any(self.source.glob("*.zip")):
            return [n for n, c in self.final().items() if n != "training_set/001_HC.png"]
        right = {p.relative_to(self.source).as_posix(): p for p in self.source.rglob("*")}
        return [n for n, c in self.final().items() if n not in right or right[n].read_bytes() != c]

    def left(self):
        "What is left, in words."
        n, total = len(self.final()), sum(1 for p in self.source.rglob("*") if p.is_file())
        parts = [p.name for p in self.data.rglob("*.part")] if self.data.is_dir() else []
        archive = any(self.source.glob("*.zip"))
        text = (
            "all files"
            if n == total and not archive
            else f"{n} of {total} files"
            if n
            else "nothing"
        )
        return text + (f", beginning of {FILE}" if f"{FILE}.part" in parts else "")

    def outside(self):
        "What lies outside the data root and the mirror, beside what was put there."
        found = {p.name for p in self.base.iterdir()} - {"mirror", "data", "outside.txt"}
        assert (self.base / "outside.txt").read_text() == "untouched"
        return sorted(found)

    def row(self, fault, happened, server, repair=lambda: None):
        "Finish a case: nothing wrong is left, and the command ends well afterwards."
        assert not self.wrong(), (fault, self.wrong())
        assert not self.outside(), (fault, self.outside())
        left = self.left()
        server.faults.clear()
        server.bodies.clear()
        repair()
        then = self.get(server)
        assert not self.wrong() and not self.outside(), fault
        words = shown(happened or "all files came", DATA=self.data, MIRROR=self.mirror)
        return Row(fault, words, left, shown(then) or "complete")


def on_one_file(fault, answers):
    "A fault of one file."
    world = World()
    with Server(world.mirror) as server:
        server.faults[f"/{world.database.folder}/{FILE}"] = list(answers)
        happened = world.get(server)
        n = sum(path.endswith(FILE) for path, start in server.seen)
        resumed = any(path.endswith(FILE) and start for path, start in server.seen)
        how = "resumed" if resumed else "asked again"
        happened = happened or f"{how}, {n} requests; all files came"
        return world.row(fault, happened, server)


def on_lists():
    "Faults of the publisher's list and listing."
    world = World()
    whole = sums_of(world.source).encode()
    digest = "0" * 64
    at = f"/{world.database.folder}/"
    lines = whole.splitlines(keepends=True)
    for fault, bodies in {
        "checksum list cut between lines": {at + "SHA256SUMS.txt": b"".join(lines[:4])},
        "checksum list cut within a line": {at + "SHA256SUMS.txt": whole[:-20]},
        "checksum list cut within a name": {at + "SHA256SUMS.txt": whole.rstrip()},
        "checksum list names ../": {
            at + "SHA256SUMS.txt": whole + f"{digest} ../../outside.txt\n".encode()
        },
        "no checksum list": {at + "SHA256SUMS.txt": b""},
        "listing names ../": {at: b'<a href="../../../outside.txt">x</a> 9'},
    }.items():
        world = World()
        with Server(world.mirror) as server:
            server.bodies |= bodies
            yield world.row(fault, world.get(server), server)


def on_archives():
    "Archives that reach outside."
    for fault, members in {
        "zip with ../": [("training_set/001_HC.png", 0), ("../../outside.txt", 0)],
        "zip with a link": [("training_set/001_HC.png", 0), ("training_set/out", stat.S_IFLNK)],
    }.items():
        world = World("hc18")
        path = world.source / "training_set.zip"

        def write(names, path=path):
            with zipfile.ZipFile(path, "w") as archive:
                for name, kind in names:
                    info = zipfile.ZipInfo(name)
                    info.external_attr = (kind | 0o777) << 16 if kind else 0
                    archive.writestr(info, "/etc")

        def repair(write=write, members=members):
            write(members[:1])

        write(members)
        with Server(world.mirror) as server:
            happened = world.get(server)
            assert not world.final(), fault
            yield world.row(fault, happened, server, repair)


def full_disk(mounted=""):
    "A disk that is full: a small one that is mounted, else an error of the system in its place."
    world = World()
    if mounted:
        world.data = Path(mounted) / "data"
    written = os.replace

    def replace(source, target):
        if str(target).endswith(FILE):
            raise OSError(errno.ENOSPC, "No space left on device")
        written(source, target)

    with Server(world.mirror) as server, patch("os.replace", replace):
        happened = world.get(server, 1)
    with Server(world.mirror) as server:
        return world.row("disk full", happened, server)


# Ctrl-C is heard also where the tests themselves run in the background
COMMAND = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
COMMAND += "from biosig_nb.cli import main; main()"


def started(world, server):
    "The command in a process of its own."
    where = ("--mirror", server.url, "--data-root", str(world.data), "--jobs", "1")
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, "data", "get", world.database.slug, *where],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=world.base,
    )


def waiting_for_part(world):
    "Wait until a file has begun to arrive."
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if any(p.stat().st_size for p in world.data.rglob(f"{FILE}.part")):
            return
        time.sleep(0.02)
    raise AssertionError("nothing arrived")


def killed(how=signal.SIGINT):
    "Ctrl-C, or kill -9, while a file arrives."
    world = World()
    with Server(world.mirror) as server:
        server.faults[f"/{world.database.folder}/{FILE}"] = ["stall"]
        process = started(world, server)
        waiting_for_part(world)
        process.send_signal(how)
        said = process.communicate(timeout=60)[1].strip().split("\n")[-1]
        name = "Ctrl-C halfway" if how == signal.SIGINT else "kill -9 halfway"
        happened = said if how == signal.SIGINT else "the process ended"
        row = world.row(name, f"exit {process.returncode}: {happened}", server)
        assert any(path.endswith(FILE) and start for path, start in server.seen)  # resumed
        return row


def two_at_once():
    "Two downloads of one database into one data root."
    world = World()
    with Server(world.mirror) as server, ThreadPoolExecutor(2) as pool:
        server.faults[f"/{world.database.folder}/{FILE}"] = ["stall"]
        jobs = [pool.submit(world.get, server) for _ in range(2)]
        assert [job.result() for job in jobs] == ["", ""]
        once = [path for path, start in server.seen if not start and path[-4:] in (".dat", ".hea")]
        assert len(once) == len(set(once)), "a file was asked for twice"
        return world.row("two downloads at once", "one waited; each file came once", server)


def all_rows():
    "The table."
    yield from (on_one_file(fault, answers) for fault, answers in FAULTS.items())
    yield from on_lists()
    yield from on_archives()
    yield full_disk()
    yield killed()
    yield killed(signal.SIGKILL)
    yield two_at_once()
