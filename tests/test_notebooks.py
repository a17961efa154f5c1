"""Every notebook runs from top to bottom, each in a process of its own, without recordings and without what another one left behind."""
import subprocess, sys
from pathlib import Path
import pytest
from checkout import ROOT

NOTEBOOKS = sorted(p.relative_to(ROOT) for p in (ROOT / "nbs").rglob("*.ipynb") if not any(q.startswith((".", "_")) for q in p.relative_to(ROOT).parts))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: str(p.relative_to("nbs").with_suffix("")))
def test_notebook_runs(path, monkeypatch, tmp_path):
    monkeypatch.delenv("BIOSIG_DATA", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    nbdev_test = Path(sys.executable).with_name("nbdev_test")
    done = subprocess.run([nbdev_test, "--path", path, "--n_workers", "0"], cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, f"{path}\n{done.stdout[-3000:]}\n{done.stderr[-5000:]}"


def test_a_failing_cell_is_noticed(tmp_path):
    "`nbdev_test` prints only 'Success.': make sure that a single path is executed at all."
    import nbformat
    path = tmp_path / "wrong.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("assert 1 == 2, 'caught'")]), path)
    done = subprocess.run([Path(sys.executable).with_name("nbdev_test"), "--path", path, "--n_workers", "0"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0 and "caught" in done.stdout + done.stderr
