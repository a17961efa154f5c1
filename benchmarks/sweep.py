"""How much of the time of a sweep goes to its runs.

    python benchmarks/sweep.py [--runs N] [--workers N] [--seconds S] [--real] [--apart]
                                [--quick]

A sweep of short runs with Dask workers on this machine. Two numbers are printed. Parallel
efficiency: the sum of the runs' `seconds` (run.json) over workers x wall time, from the reading of
the grid to the end of the last run, with the start of the workers inside. Overhead: the time of a
run in its worker beyond its own `seconds`, median and worst of all runs. By default the runs are of
a notebook that computes for S seconds on one thread and writes results; with --real they are smoke
runs of `fetal_head`, with the study's own work and report. With --apart the workers are those of a
`dask scheduler` that was started before, as on a cluster; their start is then not in the wall time.
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
from biosig_nb.studies.parameters_cell import parameters_cell

STUDY = "mitbih_ptb"
SPEC = {"kernelspec": {"name": "python3", "language": "python", "display_name": "python3"}}
WORK = """import time
import numpy as np, pandas as pd
from biosig_nb.evaluate.predictions import simulate_predictions
from biosig_nb.studies.parameters import limit_threads, resolve
from biosig_nb.studies.results import write_results
P = resolve("STUDY", globals())
limit_threads(P["threads"])
until = time.process_time() + SECONDS
x = np.random.default_rng(P["seed"]).standard_normal((300, 300))
while time.process_time() < until:
    x = np.tanh(x @ x.T / 300)
write_results(
    P["run_dir"],
    predictions=simulate_predictions(seed=P["seed"]),
    metrics=pd.DataFrame(),
    comparisons=pd.DataFrame(),
    splits={},
    primary={"headline": None, "verdict": None},
    data={},
);"""


def notebook(path, seconds):
    "A report notebook that computes for some seconds of processor time."
    work = WORK.replace("SECONDS", str(seconds)).replace("STUDY", STUDY)
    cells = [parameters_cell(parameters_of(STUDY)), work]
    made = [nbformat.v4.new_code_cell(c) for c in cells]
    made[0].metadata["tags"] = ["parameters"]
    nbformat.write(nbformat.v4.new_notebook(cells=made, metadata=SPEC), path)
    return path


def dask(name, folder, *options):
    "A Dask program in a process of its own."
    where = ("--scheduler-file", str(folder / "scheduler.json"), "--no-dashboard")
    command = [sys.executable, "-m", f"distributed.cli.{name}", *where, *options]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@contextmanager
def apart(folder, workers):
    "Address of a scheduler with some workers, each a process of its own."
    started = [dask("dask_scheduler", folder, "--port", "0")]
    options = ("--nthreads", "1", "--memory-limit", "0", "--local-directory", str(folder))
    try:
        while not (folder / "scheduler.json").exists():
            time.sleep(0.1)
        started += [dask("dask_worker", folder, *options) for _ in range(workers)]
        time.sleep(5)
        yield json.loads((folder / "scheduler.json").read_text())["address"]
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait()


def arguments(argv=None):
    "What is given on the command line."
    raw = argparse.RawDescriptionHelpFormatter
    a = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    for name, kind, default in (("runs", int, 24), ("workers", int, 2), ("seconds", float, 6.0)):
        a.add_argument(f"--{name}", type=kind, default=default)
    a.add_argument("--real", action="store_true", help="smoke runs of fetal_head")
    started = "a scheduler and workers that were started before"
    a.add_argument("--apart", action="store_true", help=started)
    a.add_argument("--quick", action="store_true", help="two short runs, to see that it works")
    given = a.parse_args(argv)
    if given.quick:
        given.runs, given.workers, given.seconds = 2, 1, 0.0
    return given


def measure(a):
    "Outcomes of the runs, and the wall time of the sweep in seconds."
    study = "fetal_head" if a.real else STUDY
    planned = [Planned(study, {"seed": k}) for k in range(a.runs)]
    with tempfile.TemporaryDirectory() as d:
        folder = Path(d)
        own = "" if a.real else notebook(folder / "work.ipynb", a.seconds)
        with apart(folder, a.workers) if a.apart else nullcontext("") as scheduler:
            how = {"workers": a.workers, "scheduler": scheduler, "notebook": own}
            began = time.time()
            found = sweep(planned, folder / "runs", **how)
            return found, time.time() - began


def main(argv=None):
    "The table, printed."
    a = arguments(argv)
    found, wall = measure(a)
    over, spent = [o.wall - o.seconds for o in found], sum(o.seconds for o in found)
    complete = sum(o.status == "complete" for o in found)
    runs = f"{len(found)} runs, {complete} complete, {a.workers} workers, {wall:.1f} s"
    print(f"{runs}; a run {spent / len(found):.1f} s")
    print(f"parallel efficiency {spent / (a.workers * wall):.3f}")
    print(f"overhead of a run {statistics.median(over):.2f} s (worst {max(over):.2f} s)")


if __name__ == "__main__":
    main()
