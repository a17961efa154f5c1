"""Every notebook runs from top to bottom, in a process of its own and without recordings."""

import gc
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from checkout import ROOT
from fresh import FRESH

NOTEBOOKS = sorted(
    p.relative_to(ROOT)
    for p in (ROOT / "nbs").rglob("*.ipynb")
    if not any(q.startswith((".", "_")) for q in p.relative_to(ROOT).parts)
)


def execute(path, tmp, said):
    """In the new process: what `nbdev_test --path PATH --n_workers 0` does, all that it says into a
    file.
    """
    gc.freeze()  # collections need not look at the libraries, which would also copy their memory
    out = os.open(said, os.O_WRONLY | os.O_CREAT)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.chdir(ROOT)
    os.environ["TMPDIR"] = str(tmp)
    tempfile.tempdir = None
    os.environ.pop("BIOSIG_DATA", None)
    sys.argv = ["nbdev_test"]
    from nbdev.test import nbdev_test

    nbdev_test(path=str(path), n_workers=0)


def ran(path, tmp):
    "Exit status, and what was said."
    said = tmp / "said.txt"
    process = FRESH.Process(target=execute, args=(path, tmp, said))
    process.start()
    process.join(900)
    if process.is_alive():
        process.kill()
        process.join()
    return process.exitcode, said.read_text(errors="replace")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: str(p.relative_to("nbs").with_suffix("")))
def test_notebook_runs(path, tmp_path):
    status, said = ran(path, tmp_path)
    assert status == 0 and "Success." in said, f"{path} (exit {status})\n{said[-8000:]}"


def test_a_failing_cell_is_noticed(tmp_path):
    "Make sure that a single path is executed at all, by the command as by the function."
    import nbformat

    path = tmp_path / "wrong.ipynb"
    nbformat.write(
        nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("assert 1 == 2, 'caught'")]), path
    )
    done = subprocess.run(
        [Path(sys.executable).with_name("nbdev_test"), "--path", path, "--n_workers", "0"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode != 0 and "caught" in done.stdout + done.stderr
    status, said = ran(path, tmp_path)
    assert status == 1 and "caught" in said
