"""How much of the time of a sweep goes to its runs: `python benchmarks/sweep.py [--runs N]
[--workers N] [--seconds S] [--real] [--apart]`.

A sweep of short runs with Dask workers on this machine. Two numbers are printed. Parallel
efficiency: the sum of the runs' `seconds` (run.json) over workers x wall time, from the first look
at the grid to the last run's end, with the start of the workers inside. Overhead: what a run takes
in its worker beyond its own `seconds`, the middle and the worst of all runs. By default the runs
are of a notebook that computes for S seconds on one thread and writes results; with --real they are
smoke runs of `fetal_head`, with the study's own work and report. With --apart the workers are those
of a `dask scheduler` that was started before, as on a cluster; their start is then not in the wall
time.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path

import nbformat

from biosig_nb.runs.grid import Planned
from biosig_nb.runs.sweep import sweep
from biosig_nb.studies.parameters import parameters_of

COMMON = {
    "preset": "smoke",
    "data": "simulated",
    "protocol": "both",
    "seed": 0,
    "threads": 1,
    "data_root": "",
    "run_dir": "",
}
WORK = """import time
from pathlib import Path
from biosig_nb.studies.parameters import limit_threads, resolve
P = resolve("mitbih_ptb", globals()); limit_threads(P["threads"])
import numpy as np, pandas as pd
from biosig_nb.evaluate.predictions import simulate_predictions
from biosig_nb.studies.results import write_results
until = time.process_time() + SECONDS; x = np.random.default_rng(P["seed"]).standard_normal((300, 300))
while time.process_time() < until: x = np.tanh(x @ x.T / 300)
write_results(Path(P["run_dir"]), predictions=simulate_predictions(seed=P["seed"]), metrics=pd.DataFrame(), comparisons=pd.DataFrame(), splits={}, primary={"headline": None, "verdict": None}, data={});"""


def notebook(path, seconds):
    "A report notebook that computes for so many seconds of processor time."
    cells = [
        "\n".join(
            f"{n}: {s['type']} = {COMMON.get(n)!r}  # help"
            for n, s in parameters_of("mitbih_ptb").items()
        ),
        WORK.replace("SECONDS", str(seconds)),
    ]
    made = [nbformat.v4.new_code_cell(c) for c in cells]
    made[0].metadata["tags"] = ["parameters"]
    nbformat.write(
        nbformat.v4.new_notebook(
            cells=made,
            metadata={
                "kernelspec": {"name": "python3", "language": "python", "display_name": "python3"}
            },
        ),
        path,
    )
    return path


@contextmanager
def apart(folder, workers):
    "Address of a scheduler with so many workers, each a process of its own."
    module = lambda name: [
        sys.executable,
        "-m",
        f"distributed.cli.{name}",
        "--scheduler-file",
        str(folder / "scheduler.json"),
        "--no-dashboard",
    ]
    quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    started = [subprocess.Popen([*module("dask_scheduler"), "--port", "0"], **quiet)]
    try:
        while not (folder / "scheduler.json").exists():
            time.sleep(0.1)
        started += [
            subprocess.Popen(
                [
                    *module("dask_worker"),
                    "--nthreads",
                    "1",
                    "--memory-limit",
                    "0",
                    "--local-directory",
                    str(folder),
                ],
                **quiet,
            )
            for _ in range(workers)
        ]
        time.sleep(5)
        yield json.loads((folder / "scheduler.json").read_text())["address"]
    finally:
        for p in started:
            p.terminate()
        for p in started:
            p.wait()


if __name__ == "__main__":
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, kind, default in (("runs", int, 24), ("workers", int, 2), ("seconds", float, 6.0)):
        a.add_argument(f"--{name}", type=kind, default=default)
    a.add_argument("--real", action="store_true", help="smoke runs of fetal_head")
    a.add_argument(
        "--apart", action="store_true", help="a scheduler and workers that were started before"
    )
    a = a.parse_args()
    with tempfile.TemporaryDirectory() as d:
        own = "" if a.real else notebook(Path(d) / "work.ipynb", a.seconds)
        planned = [
            Planned("fetal_head" if a.real else "mitbih_ptb", {"seed": k}) for k in range(a.runs)
        ]
        with apart(Path(d), a.workers) if a.apart else nullcontext("") as scheduler:
            t0 = time.time()
            found = sweep(
                planned, Path(d) / "runs", workers=a.workers, scheduler=scheduler, notebook=own
            )
            wall = time.time() - t0
    over, spent = [o.wall - o.seconds for o in found], sum(o.seconds for o in found)
    print(
        f"{len(found)} runs, {sum(o.status == 'complete' for o in found)} complete, {a.workers} workers, {wall:.1f} s; a run {spent / len(found):.1f} s"
    )
    print(f"parallel efficiency {spent / (a.workers * wall):.3f}")
    print(f"overhead of a run {statistics.median(over):.2f} s (worst {max(over):.2f} s)")
