"""Runs that are killed, fail, or meet each other."""

import signal
import sys
import time
from pathlib import Path

import pytest
from tiny import STUDY, finish, record, report, start

from biosig_nb.errors import ConfigError
from biosig_nb.runs.execute import execute_run
from biosig_nb.runs.kernel import RunFailed
from biosig_nb.runs.store import read_run

# Four jobs, each cached in work/ once it is finished; `log` counts the computations. The third
# waits until the file `go` exists.
JOBS = """log = RUN.parents[1] / "log"
for i in range(4):
    job = RUN / "work" / f"job{i}"
    if job.exists(): continue
    if i == 2:
        (RUN / "work" / "pid").write_text(str(os.getpid()))
        while not (RUN.parents[1] / "go").exists(): time.sleep(.05)
    with log.open("a") as f: f.write(f"{i}\\n")
    job.touch()"""


def wait_for(condition, seconds=60):
    "The value of `condition()` as soon as it is true."
    until = time.time() + seconds
    while time.time() < until:
        if value := condition():
            return value
        time.sleep(0.05)
    pytest.fail(f"waited {seconds} s in vain")


def gone(pid):
    "Whether a process has ended; a zombie has ended too."
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def only_run(out):
    (folder,) = (out / STUDY).iterdir()
    return folder


def test_killed_run_is_taken_up_where_it_stopped(tmp_path):
    notebook, out = report(tmp_path / "slow.ipynb", JOBS), tmp_path / "runs"
    out.mkdir()
    process = start(notebook, out)
    pid = int(wait_for(lambda: next((p.read_text() for p in out.glob("*/*/work/pid")), "")))
    folder = only_run(out)
    assert read_run(folder).status == "running"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait_for(lambda: gone(pid), 10)  # the kernel does not outlive its runner
    assert read_run(folder).status == "interrupted"
    assert not (folder / "index.html").exists()
    assert not (folder / "predictions.parquet").exists()
    (out / "go").touch()
    assert "going on where an earlier run stopped" in finish(start(notebook, out))
    assert record(folder)["status"] == "complete"
    assert (folder / "index.html").exists()
    done = (out / "log").read_text().split()
    assert done == ["0", "1", "2", "3"], "finished jobs are not computed again"


def test_two_at_once_compute_once(tmp_path):
    notebook, out = report(tmp_path / "slow.ipynb", JOBS), tmp_path / "runs"
    out.mkdir()
    first = start(notebook, out)
    wait_for(lambda: list(out.glob("*/*/work/pid")))
    second = start(notebook, out)
    assert second.stdout.readline() == "another process computes this run: waiting for it\n"
    (out / "go").touch()
    folders = [finish(process).splitlines()[-1] for process in (first, second)]
    assert folders[0] == folders[1] == str(only_run(out))
    assert (out / "log").read_text().split() == ["0", "1", "2", "3"]


def test_failed_run_says_why_and_does_not_look_finished(tmp_path):
    fails = """from biosig_nb.errors import DataError
raise DataError(f'{RUN}/work/x.dat: 12 bytes, expected 13')"""
    notebook = report(tmp_path / "bad.ipynb", fails)
    message = f"{STUDY} failed: DataError: .*x.dat: 12 bytes, expected 13 .see .*run.json."
    with pytest.raises(RunFailed, match=message) as caught:
        execute_run(STUDY, out=tmp_path / "runs", notebook=notebook)
    assert "\n" not in str(caught.value)
    folder = only_run(tmp_path / "runs")
    assert record(folder)["status"] == "failed"
    assert record(folder)["error"] == "DataError: run-folder/work/x.dat: 12 bytes, expected 13"
    assert not (folder / "index.html").exists()
    assert str(tmp_path) not in (folder / "notebook.ipynb").read_text()


def test_kernel_that_dies_fails_the_run(tmp_path):
    notebook = report(tmp_path / "dies.ipynb", "os._exit(9)")
    with pytest.raises(RunFailed, match="Kernel died"):
        execute_run(STUDY, out=tmp_path / "runs", notebook=notebook)
    assert record(only_run(tmp_path / "runs"))["status"] == "failed"


def test_kernel_that_does_not_start_gets_a_second_chance(tmp_path, monkeypatch):
    import papermill

    calls, real = [], papermill.execute_notebook

    def flaky(*args, **kwargs):
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("Kernel died before replying to kernel_info")
        return real(*args, **kwargs)

    monkeypatch.setattr(papermill, "execute_notebook", flaky)
    notebook = report(tmp_path / "good.ipynb")
    folder = execute_run(STUDY, out=tmp_path / "runs", notebook=notebook)
    assert record(folder)["status"] == "complete"
    assert len(calls) == 2


@pytest.mark.parametrize(
    "given, message",
    [
        ({"epochz": 3}, "no parameter 'epochz'"),
        ({"seed": "fast"}, "parameter seed: expected a whole number"),
        ({"preset": "quik"}, "did you mean 'quick'"),
        ({"data": "real", "data_root": "."}, "is not on this machine"),
    ],
)
def test_refused_before_anything_is_written(given, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    notebook = report(tmp_path / "good.ipynb")
    with pytest.raises(ValueError, match=message):
        execute_run(STUDY, given, out=tmp_path / "runs", notebook=notebook)
    assert not (tmp_path / "runs").exists()


def test_untagged_notebook_is_refused_before_a_kernel_starts(tmp_path, monkeypatch):
    import papermill

    def started(*args, **kwargs):
        pytest.fail("a kernel was started")

    monkeypatch.setattr(papermill, "execute_notebook", started)
    notebook = report(tmp_path / "untagged.ipynb", tagged=False)
    with pytest.raises(ConfigError, match="0 code cells are tagged 'parameters'"):
        execute_run(STUDY, out=tmp_path / "runs", notebook=notebook)


def test_folder_with_odd_characters(tmp_path):
    out = tmp_path / "märz {seed} %s" / "runs"
    folder = execute_run(STUDY, {"seed": 1}, out=out, notebook=report(tmp_path / "good.ipynb"))
    assert record(folder)["status"] == "complete"
    assert folder.is_relative_to(out)


def test_nothing_of_this_machine_in_what_is_shared(tmp_path):
    prints = """import sys
print(RUN, os.getcwd(), Path.home(), sys.executable, os.environ['OMP_NUM_THREADS'])"""
    notebook = report(tmp_path / "talks.ipynb", prints)
    folder = execute_run(STUDY, {"threads": 2}, out=tmp_path / "runs", notebook=notebook)
    private = (str(tmp_path), f"{Path.home()}/", str(Path(sys.executable).parents[1]))
    for name in ("notebook.ipynb", "index.html", "run.json"):
        text = (folder / name).read_text()
        assert not [path for path in private if path in text], name
    assert "run-folder run-folder/work ~" in (folder / "notebook.ipynb").read_text()
