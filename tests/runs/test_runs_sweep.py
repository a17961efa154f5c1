"""Sweeps with Dask: many short runs, killed workers and kernels, two sweeps at once, a full disk."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from tiny import STUDY, report

from biosig_nb.errors import ConfigError
from biosig_nb.runs.grid import Planned
from biosig_nb.runs.store import list_runs
from biosig_nb.runs.sweep import sweep

# Three pieces of a third of a second, each kept once it is finished; `log` counts the computations.
PIECES = """for i in range(3):
    piece = RUN / "work" / f"piece{i}"
    if piece.exists(): continue
    time.sleep(.3)
    with (RUN.parents[1] / "log").open("a") as f: f.write(f"{P['seed']} {i}\\n")
    piece.touch()"""


def plans(n):
    return [Planned(STUDY, {"seed": k}) for k in range(n)]


def start(notebook, out, n, workers=2):
    "A process that sweeps, in a session of its own."
    code = f"""from biosig_nb.runs.grid import Planned
from biosig_nb.runs.sweep import sweep
if __name__ == "__main__":
    o = sweep([Planned({STUDY!r}, {{"seed": k}}) for k in range({n})], {str(out)!r}, workers={workers}, notebook={str(notebook)!r}, say=print)
    print("failed", sum(x.status == "failed" for x in o))"""
    script = out.parent / "sweep.py"
    script.write_text(code)
    return subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # a shell that started the tests in the background has it ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def tables(out):
    "Run -> hash of its predictions, of the complete ones."
    return {
        r.folder.name: hashlib.sha256((r.folder / "predictions.parquet").read_bytes()).hexdigest()
        for r in list_runs(out)
        if r.status == "complete"
    }


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    "Six runs of an undisturbed sweep: notebook, tables."
    folder = tmp_path_factory.mktemp("quiet")
    notebook = report(folder / "short.ipynb", PIECES)
    found = sweep(plans(6), folder / "runs", workers=2, notebook=notebook)
    assert [o.status for o in found] == ["complete"] * 6
    assert len((folder / "runs" / "log").read_text().splitlines()) == 18
    return notebook, tables(folder / "runs")


def test_a_sweep_gives_what_single_runs_give(quiet, tmp_path):
    from biosig_nb.runs.execute import execute_run

    notebook, expected = quiet
    folder = execute_run(STUDY, {"seed": 4}, tmp_path / "runs", notebook=notebook)
    assert tables(tmp_path / "runs") == {folder.name: expected[folder.name]}


def victims(process):
    "Processes of a sweep that could be killed: kernels, workers, the sweep itself."
    try:
        children = [
            (c, " ".join(c.cmdline())) for c in psutil.Process(process.pid).children(recursive=True)
        ]
    except psutil.Error:
        return [[], [], []]
    kernels = [c for c, said in children if "ipykernel_launcher" in said]
    return [
        kernels,
        [c for c, said in children if "spawn_main" in said and c not in kernels],
        [psutil.Process(process.pid)],
    ]


def test_killed_at_random_and_taken_up(quiet, tmp_path):
    """A kernel, a worker and the sweep itself are killed in turn at random moments; after the last
    call every run is complete, once.

    BIOSIG_KILLS=20 makes it longer.
    """
    (notebook, _), kills, out = quiet, int(os.environ.get("BIOSIG_KILLS", 3)), tmp_path / "runs"
    n, rng, killed = 2 * max(3, kills), random.Random(0), 0
    while killed < kills:
        process, kind, until = start(notebook, out, n), killed % 3, time.time() + rng.uniform(3, 9)
        while process.poll() is None and (time.time() < until or not victims(process)[kind]):
            time.sleep(0.05)
        if process.poll() is not None:  # all is done before anybody was killed: more runs
            process.communicate()
            n *= 2
            continue
        for victim in victims(process)[kind][-1:]:
            victim.send_signal(signal.SIGKILL)
            killed += 1
        # the sweep goes on; so that it does not end before the next one is killed
        if kind < 2 and killed < kills:
            time.sleep(rng.uniform(0.5, 2))
            process.kill()
        process.communicate(timeout=60 if kind == 2 else 200)
    said, err = start(notebook, out, n).communicate(timeout=400)
    assert killed >= kills and "failed 0" in said, err[-2000:]
    print(f"{killed} killed")
    undisturbed = tmp_path / "undisturbed"
    assert [o.status for o in sweep(plans(n), undisturbed, workers=2, notebook=notebook)] == [
        "complete"
    ] * n
    assert tables(out) == tables(undisturbed)
    log = (out / "log").read_text().split("\n")[:-1]
    assert len(set(log)) == 3 * n and len(log) <= 3 * n + 2 * killed, (
        "finished pieces are not computed again"
    )


def test_two_sweeps_at_once_do_no_run_twice(quiet, tmp_path):
    notebook, expected = quiet
    out = tmp_path / "runs"
    both = [start(notebook, out, 6) for _ in range(2)]
    for p in both:
        assert "failed 0" in p.communicate(timeout=150)[0]
    assert tables(out) == expected and sorted((out / "log").read_text().splitlines()) == sorted(
        f"{s} {i}" for s in range(6) for i in range(3)
    )


def test_nobody_at_the_scheduler(quiet, tmp_path):
    with pytest.raises(ConfigError, match="nobody answers there"):
        sweep(plans(2), tmp_path / "runs", scheduler="tcp://127.0.0.1:9", notebook=quiet[0])


def test_workers_of_a_scheduler(quiet, tmp_path):
    "A scheduler and two workers that were started apart."
    notebook, expected = quiet
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    where = tmp_path / "scheduler.json"
    started = [
        subprocess.Popen(
            [*dask, "--port", "0", "--no-dashboard", "--scheduler-file", where],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    ]
    try:
        until = time.time() + 30
        while not where.exists() and time.time() < until:
            time.sleep(0.1)
        started += [
            subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "distributed.cli.dask_worker",
                    "--scheduler-file",
                    where,
                    "--nthreads",
                    "1",
                    "--no-dashboard",
                    "--memory-limit",
                    "0",
                    "--local-directory",
                    tmp_path,
                ],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for _ in range(2)
        ]
        import json

        address = json.loads(where.read_text())["address"]
        found = sweep(plans(6), tmp_path / "runs", scheduler=address, notebook=notebook)
        assert [o.status for o in found] == ["complete"] * 6 and tables(
            tmp_path / "runs"
        ) == expected
    finally:
        for p in started:
            p.terminate()
        for p in started:
            p.wait(20)


def test_interrupt_leaves_no_process(quiet, tmp_path):
    notebook, _ = quiet
    process = start(notebook, tmp_path / "runs", 6)
    time.sleep(5)
    children = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=30)
    gone, alive = psutil.wait_procs(children, timeout=10)
    assert not alive and process.returncode != 0


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0, reason="mounting a small disk wants root"
)
def test_full_disk(quiet, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", disk], capture_output=True
    ).returncode:
        pytest.skip("no small disk can be mounted here")
    try:
        found = sweep(plans(2), disk / "runs", notebook=quiet[0], retries=0)
        assert [o.status for o in found] == ["failed"] * 2 and all(
            "space" in o.error for o in found
        ), found
        assert not tables(disk / "runs")
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_run_that_kills_its_worker_is_given_up(quiet, tmp_path):
    "Three deaths, and the others are computed all the same."
    notebook = report(
        tmp_path / "deadly.ipynb",
        "if P['seed'] == 1: (RUN.parents[1] / f'death{time.time()}').touch(); os.kill(os.getppid(), 9); time.sleep(30)",
    )
    found = {
        o.title[-1]: o for o in sweep(plans(5), tmp_path / "runs", workers=2, notebook=notebook)
    }
    assert {k: o.status for k, o in found.items()} == {
        "0": "complete",
        "1": "failed",
        "2": "complete",
        "3": "complete",
        "4": "complete",
    }
    assert (
        "died three times" in found["1"].error
        and len(list((tmp_path / "runs").glob("death*"))) == 3
    )
