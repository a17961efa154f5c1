"A record's header is read once on the way from file to cohort."

import os
import sys
import threading
from collections import Counter

import pytest

from biosig_nb.data.databases.challenge_2021 import challenge_records
from biosig_nb.data.databases.mitdb import mitdb_beats
from biosig_nb.data.databases.ptb_xl import ptbxl_records
from biosig_nb.data.databases.ptbdb import ptbdb_beats
from biosig_nb.data.simulate.challenge_2021 import simulate_georgia
from biosig_nb.data.simulate.mitdb import simulate_mitdb
from biosig_nb.data.simulate.ptb_xl import simulate_ptbxl
from biosig_nb.data.simulate.ptbdb import simulate_ptbdb

COUNTING: list = []  # the counter in use, if any


def caller(name):
    "Whether a function of this name is running; tracebacks would open files."
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == name:
            return True
        frame = frame.f_back
    return False


def opened(event, args):
    if event != "open" or not COUNTING or not isinstance(args[0], str | os.PathLike):
        return
    path = os.fspath(args[0])
    if not isinstance(path, str) or not path.endswith(".hea"):
        return
    # hashing of all files
    if threading.current_thread() is not threading.main_thread() or caller("fingerprint"):
        return
    COUNTING[-1][path] += 1


sys.addaudithook(opened)


@pytest.mark.parametrize(
    "simulate, read",
    [
        (simulate_mitdb, lambda folder: mitdb_beats(folder, paced=True)),
        (simulate_ptbdb, lambda folder: ptbdb_beats(folder, positive="any")),
        (lambda root: simulate_ptbxl(root, 0, 20), ptbxl_records),
        (lambda root: simulate_georgia(root, 0, 20), challenge_records),
    ],
    ids=["mitdb", "ptbdb", "ptb-xl", "challenge"],
)
def test_headers_are_read_once(simulate, read, tmp_path):
    folder = simulate(tmp_path)
    COUNTING.append(Counter())
    try:
        read(folder)
    finally:
        counts = COUNTING.pop()
    headers = {str(p) for p in tmp_path.rglob("*.hea")}
    if folder.parent.name == "ptb-xl":
        headers = {p for p in headers if "records100" in p}
    assert set(counts) == headers
    assert max(counts.values()) == 1, counts.most_common(3)
