"""Sweeps with Dask: short runs, killed workers and kernels, two sweeps at once, a full disk."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time

import psutil
import pytest
from tiny import STUDY, report

from biosig_nb.errors import ConfigError
from biosig_nb.runs import workers
from biosig_nb.runs.execute import execute_run
from biosig_nb.runs.grid import Planned
from biosig_nb.runs.store import list_runs
from biosig_nb.runs.sweep import sweep

# Three jobs of a third of a second, each cached once it is finished; `log` counts the computations.
JOBS = """for i in range(3):
    job = RUN / "work" / f"job{i}"
    if job.exists(): continue
    time.sleep(.3)
    with (RUN.parents[1] / "log").open("a") as f: f.write(f"{P['seed']} {i}\\n")
    job.touch()"""
SWEEP = """from biosig_nb.runs.grid import Planned
from biosig_nb.runs.sweep import sweep
if __name__ == "__main__":
    planned = [Planned({study!r}, {{"seed": k}}) for k in range({n})]
    o = sweep(planned, {out!r}, workers=2, notebook={notebook!r}, say=print)
    print("failed", sum(x.status == "failed" for x in o))"""


def plans(n):
    return [Planned(STUDY, {"seed": k}) for k in range(n)]


def heed_interrupts():
    "A shell that starts the tests in the background makes their processes ignore Ctrl-C."
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(notebook, out, n):
    "A process that sweeps, in a session of its own."
    code = SWEEP.format(study=STUDY, n=n, out=str(out), notebook=str(notebook))
    script = out.parent / "sweep.py"
    script.write_text(code)
    return subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heed_interrupts,
    )


def tables(out):
    "Seed -> name of the run and hash of its predictions, of the complete ones."
    found = {}
    for run in list_runs(out):
        if run.status == "complete":
            content = (run.folder / "predictions.parquet").read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            found[run.parameters["seed"]] = (run.folder.name, digest)
    return found


def first(n, expected):
    "The tables of the first n seeds."
    return {seed: expected[seed] for seed in range(n)}


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    "Six runs of an undisturbed sweep: notebook, tables."
    folder = tmp_path_factory.mktemp("quiet")
    notebook = report(folder / "short.ipynb", JOBS)
    found = sweep(plans(6), folder / "runs", workers=2, notebook=notebook)
    assert [o.status for o in found] == ["complete"] * 6
    assert len((folder / "runs" / "log").read_text().splitlines()) == 18
    return notebook, tables(folder / "runs")


def test_a_sweep_gives_what_single_runs_give(quiet, tmp_path):
    notebook, expected = quiet
    folder = execute_run(STUDY, {"seed": 4}, tmp_path / "runs", notebook=notebook)
    assert tables(tmp_path / "runs") == {4: expected[4]}
    assert folder.name == expected[4][0]


def victims(process):
    "Processes of a sweep that could be killed: kernels, workers, the sweep itself."
    try:
        sweeping = psutil.Process(process.pid)
        children = [(c, " ".join(c.cmdline())) for c in sweeping.children(recursive=True)]
        servers = {c.pid for c, line in children if "kernel_server" in line}
        kernels = [c for c, _ in children if c.ppid() in servers]  # copies of a server
    except psutil.Error:
        return [[], [], []]
    spawned = [c for c, line in children if "spawn_main" in line and c not in kernels]
    return [kernels, spawned, [sweeping]]


def kill_one(process, kind, rng):
    "Kill a process of this kind at a random moment; whether there was one before the sweep ended."
    until = time.time() + rng.uniform(3, 9)
    while process.poll() is None and (time.time() < until or not victims(process)[kind]):
        time.sleep(0.05)
    if process.poll() is not None:
        return False
    for victim in victims(process)[kind][-1:]:
        victim.send_signal(signal.SIGKILL)
        return True
    return False


def kill_at_random(notebook, out, kills):
    """Start sweeps and kill a kernel, a worker and the sweep itself in turn.

    Returns the number of runs in the last sweep.
    """
    n, rng, killed = 2 * max(3, kills), random.Random(0), 0
    while killed < kills:
        process, kind = start(notebook, out, n), killed % 3
        if not kill_one(process, kind, rng):  # all was done before: more runs
            process.communicate(timeout=200)
            n *= 2
            continue
        killed += 1
        # the sweep survives; it must not end before the next kill
        if kind < 2 and killed < kills:
            time.sleep(rng.uniform(0.5, 2))
            process.kill()
        process.communicate(timeout=60 if kind == 2 else 200)
    return n


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_random_and_taken_up(kills, quiet, tmp_path):
    "After the last call every run is complete, once, and has the bytes of an undisturbed sweep."
    (notebook, expected), out = quiet, tmp_path / "runs"
    n = kill_at_random(notebook, out, kills)
    printed, err = start(notebook, out, n).communicate(timeout=400)
    assert "failed 0" in printed, err[-2000:]
    if n > len(expected):
        undisturbed = tmp_path / "undisturbed"
        found = sweep(plans(n), undisturbed, workers=2, notebook=notebook)
        assert {o.status for o in found} == {"complete"}
        expected = tables(undisturbed)
    assert tables(out) == first(n, expected)
    log = (out / "log").read_text().split("\n")[:-1]
    assert len(set(log)) == 3 * n
    assert len(log) <= 3 * n + 2 * kills, "finished jobs are not computed again"


def test_two_sweeps_at_once_do_no_run_twice(quiet, tmp_path):
    notebook, expected = quiet
    out = tmp_path / "runs"
    both = [start(notebook, out, 3) for _ in range(2)]
    for p in both:
        assert "failed 0" in p.communicate(timeout=150)[0]
    assert tables(out) == first(3, expected)
    jobs = [f"{seed} {i}" for seed in range(3) for i in range(3)]
    assert sorted((out / "log").read_text().splitlines()) == jobs


def test_no_scheduler_answers(quiet, tmp_path, monkeypatch):
    with monkeypatch.context() as m:
        m.setattr(workers.dask_client.__wrapped__, "__defaults__", ("", 1.0))  # waits one second
        with pytest.raises(ConfigError, match="no scheduler answers there"):
            sweep(plans(2), tmp_path / "runs", scheduler="tcp://127.0.0.1:9", notebook=quiet[0])


@pytest.fixture
def scheduler(tmp_path):
    "Address of a scheduler with two workers, which were started apart."
    where, quiet = tmp_path / "scheduler.json", subprocess.DEVNULL
    worker = ("--nthreads", "1", "--memory-limit", "0", "--local-directory", tmp_path)
    commands = [("dask_scheduler", "--port", "0"), ("dask_worker", *worker)]
    started = []
    try:
        for name, *options in (*commands, commands[1]):
            program = (sys.executable, "-m", f"distributed.cli.{name}")
            shared = ("--scheduler-file", where, "--no-dashboard")
            started.append(
                subprocess.Popen([*program, *shared, *options], stdout=quiet, stderr=quiet)
            )
            until = time.time() + 30
            while not where.exists() and time.time() < until:
                time.sleep(0.1)
        yield json.loads(where.read_text())["address"]
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(20)


def test_workers_of_a_scheduler(quiet, scheduler, tmp_path):
    notebook, expected = quiet
    found = sweep(plans(3), tmp_path / "runs", scheduler=scheduler, notebook=notebook)
    assert [o.status for o in found] == ["complete"] * 3
    assert tables(tmp_path / "runs") == first(3, expected)


def test_interrupt_leaves_no_process(quiet, tmp_path):
    notebook, _ = quiet
    process = start(notebook, tmp_path / "runs", 6)
    time.sleep(5)
    children = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=30)
    gone, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
    assert process.returncode != 0


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0, reason="mounting a small disk wants root"
)
def test_full_disk(quiet, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", disk]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no small disk can be mounted here")
    try:
        found = sweep(plans(2), disk / "runs", notebook=quiet[0], retries=0)
        assert [o.status for o in found] == ["failed"] * 2
        assert all("space" in o.error for o in found), found
        assert not tables(disk / "runs")
    finally:
        subprocess.run(["umount", disk], check=True)


KILL_WORKER = """if P['seed'] == 1:
    (RUN.parents[1] / f'death{time.time()}').touch()
    import psutil
    server = psutil.Process(os.getppid())  # the kernel is a copy of it; the worker started it
    os.kill(server.ppid(), 9)
    time.sleep(30)"""


def test_a_run_that_kills_its_worker_is_given_up(quiet, tmp_path):
    "After three deaths; the other runs are computed all the same."
    notebook, out = report(tmp_path / "deadly.ipynb", KILL_WORKER), tmp_path / "runs"
    found = {o.title[-1]: o for o in sweep(plans(3), out, workers=2, notebook=notebook)}
    status = {seed: o.status for seed, o in found.items()}
    assert status == dict.fromkeys("02", "complete") | {"1": "failed"}
    assert "died three times" in found["1"].error
    assert len(list(out.glob("death*"))) == 3
