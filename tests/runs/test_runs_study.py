"""A study's own report: by papermill and by the command line, and with bad recordings."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import numpy as np
import papermill
import pytest
from checkout import ROOT
from fresh import biosig
from papermill.exceptions import PapermillExecutionError

from biosig_nb.data.simulate.mitdb import simulate_mitdb
from biosig_nb.data.simulate.ptbdb import simulate_ptbdb
from biosig_nb.errors import ConfigError, DataError
from biosig_nb.runs.kernel import RunFailed, run_kernel
from biosig_nb.runs.store import read_run
from biosig_nb.studies.folders import study_class
from biosig_nb.studies.parameters import resolve
from biosig_nb.studies.study import describe, find_data

REPORT = ROOT / "nbs" / "studies" / "mitbih_ptb" / "report.ipynb"
PROGRAM = Path(sys.executable).with_name("biosig-nb")


def plain_papermill(folder, **given):
    "Execute the report with papermill alone."
    papermill.execute_notebook(
        str(REPORT),
        str(folder / "out.ipynb"),
        parameters={"run_dir": str(folder / "run"), **given},
        cwd=str(folder),
        progress_bar=False,
        shutdown_kernel="immediate",
    )


def test_papermill_and_command_line_give_the_same_bytes(tmp_path, smoke_site, small):
    plain_papermill(tmp_path, threads=1, **small)
    (run,) = (smoke_site / "runs" / "mitbih_ptb").iterdir()
    predictions = ("predictions.parquet", "predictions_mitdb.parquet")
    for name in (*predictions, "metrics.csv", "comparisons.csv"):
        assert (tmp_path / "run" / name).read_bytes() == (run / name).read_bytes(), name
    written = {p.name for p in tmp_path.iterdir()}
    assert written == {"out.ipynb", "run"}, "a notebook writes into its run folder only"


BAD = [
    ({"n_fold": 3}, "mitbih_ptb has no parameter 'n_fold'; did you mean 'n_folds'?"),
    ({"preset": "quik"}, "did you mean 'quick'?"),
    ({"max_updates": "fast"}, "expected a whole number"),
]


@pytest.mark.parametrize("given, message", BAD[1:])  # a name that is unknown: papermill alone knows
def test_bad_values_fail_in_the_cell_after_the_parameters(given, message):
    "What the report's first two cells do, with the values that papermill would write between."
    cells = [c.source for c in nbformat.read(REPORT, 4).cells if c.cell_type == "code"][:2]
    scope = {}
    exec(cells[0], scope)
    scope.update(given)
    with pytest.raises(ConfigError) as caught:
        exec(cells[1], scope)
    assert message in str(caught.value)


def test_bad_values_fail_in_plain_papermill_too(tmp_path):
    given, message = BAD[0]
    with pytest.raises(PapermillExecutionError) as caught:
        plain_papermill(tmp_path, **given)
    assert caught.value.ename == "ConfigError"
    assert message in caught.value.evalue
    assert not (tmp_path / "run").exists()


def heed_interrupts():
    "A shell that starts the tests in the background makes their processes ignore Ctrl-C."
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_interrupted_command_line_says_how_to_go_on(tmp_path):
    with (tmp_path / "err").open("w") as err:
        process = subprocess.Popen(
            [PROGRAM, "run", "mitbih_ptb", "--out", tmp_path / "runs"],
            stdout=subprocess.PIPE,
            stderr=err,
            start_new_session=True,
            preexec_fn=heed_interrupts,
        )
        until = time.time() + 60
        while not list(tmp_path.glob("runs/*/*/work/notebook.ipynb")) and time.time() < until:
            time.sleep(0.1)
        time.sleep(1)
        os.killpg(process.pid, signal.SIGINT)  # what Ctrl-C does: the kernel gets it too
        process.communicate(timeout=60)
    assert process.returncode == 130
    line = "biosig-nb: interrupted; the same command goes on where it stopped\n"
    assert (tmp_path / "err").read_text() == line
    (folder,) = (tmp_path / "runs" / "mitbih_ptb").iterdir()
    assert read_run(folder).status == "interrupted"
    assert not (folder / "index.html").exists()


def truncate(root):
    path = root / "ptbdb" / "1.0.0" / "patient002"
    dat = next(path.glob("*.dat"))
    dat.write_bytes(dat.read_bytes()[:-1000])
    return dat.stem


def point_outside(root):
    hea = root / "mitdb" / "1.0.0" / "101.hea"
    hea.write_text(hea.read_text().replace("101.dat", "../../etc/passwd"))
    return "../../etc/passwd"


def lose_everything(root):
    dat = next((root / "ptbdb" / "1.0.0" / "patient002").glob("*.dat"))
    dat.write_bytes(np.full(len(dat.read_bytes()) // 2, -32768, "<i2").tobytes())
    return dat.stem


def only_infarctions(root):
    records = root / "ptbdb" / "1.0.0" / "RECORDS"
    sick = [
        name
        for name in records.read_text().split()
        if "Myocardial infarction" in (records.parent / f"{name}.hea").read_text()
    ]
    records.write_text("\n".join(sick) + "\n")
    return "class"


@pytest.mark.parametrize("spoil", [point_outside, lose_everything, only_infarctions])
def test_bad_recordings_are_refused_before_anything_is_trained(spoil, tmp_path):
    simulate_mitdb(tmp_path, minutes=0.5)
    simulate_ptbdb(tmp_path, n_patients=8)
    expected = spoil(tmp_path)
    given = {"data": "real", "data_root": str(tmp_path), "protocol": "recommended"}
    p, study = resolve("mitbih_ptb", given), study_class("mitbih_ptb")("mitbih_ptb")
    with pytest.raises(DataError) as caught:
        describe(study, p, find_data(study, p, tmp_path / "work"))
    assert expected in str(caught.value)


def test_bad_recordings_fail_the_run_in_one_line(tmp_path):
    simulate_mitdb(tmp_path, minutes=0.5)
    simulate_ptbdb(tmp_path, n_patients=8)
    expected = truncate(tmp_path)
    out = tmp_path / "runs"
    where = ("--data", "real", "--data-root", tmp_path, "--out", out)
    small = ("-p", "protocol=recommended", "-p", "arms=scratch")
    done = biosig("run", "mitbih_ptb", *where, *small)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("biosig-nb: mitbih_ptb failed: DataError: ")
    assert expected in done.stderr
    (folder,) = (out / "mitbih_ptb").iterdir()
    record = json.loads((folder / "run.json").read_text())
    assert record["status"] == "failed"
    assert expected in record["error"]
    assert str(tmp_path) not in record["error"]
    assert not (folder / "index.html").exists()
    assert not (folder / "predictions.parquet").exists()


def test_the_log_of_a_kernel_stays_off_the_terminal(tmp_path, capfd):
    # jupyter interrupts before it kills
    logs = "get_ipython().kernel.log.error('KeyboardInterrupt caught in kernel.')\n1 / 0"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(logs)])
    with pytest.raises(RunFailed, match="^ZeroDivisionError: division by zero$"):
        run_kernel(notebook, tmp_path / "out.ipynb", {})
    assert capfd.readouterr() == ("", "")
