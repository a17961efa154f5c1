"""A report notebook that takes seconds: the parameters of a study, `resolve`, some cells of the test's own, and results."""
import json, os, subprocess, sys
import nbformat
from checkout import ROOT
from biosig_nb.studies.parameters import COMMON, parameters_of

STUDY = "mitbih_ptb"
DEFAULTS = {"preset": "smoke", "source": "simulated", "protocol": "both", "seed": 0, "threads": 1, "data_root": "", "run_dir": ""}
PARAMETERS = "\n".join(f"{name}: {spec['type']} = {DEFAULTS.get(name)!r}  # help" for name, spec in parameters_of(STUDY).items())
RESOLVE = f"""import os, time
from pathlib import Path
from biosig_nb.studies.parameters import resolve
P = resolve("{STUDY}", globals())
RUN = Path(P["run_dir"])"""
RESULTS = """import pandas as pd
from biosig_nb.evaluate.predictions import simulate_predictions
from biosig_nb.runs.store import write_results
write_results(RUN, predictions=simulate_predictions(seed=P["seed"]), metrics=pd.DataFrame(), comparisons=pd.DataFrame(), splits={}, primary={"headline": None, "verdict": None}, source={});"""


def report(path, *cells, tagged=True):
    "Write the notebook; `cells` stand between `resolve` and the results."
    made = [nbformat.v4.new_code_cell(c) for c in (PARAMETERS, RESOLVE, *cells, RESULTS)]
    if tagged: made[0].metadata["tags"] = ["parameters"]
    nbformat.write(nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": {"name": "python3", "language": "python", "display_name": "python3"}}), path)
    return path


def start(notebook, out, **given):
    "A process that executes the notebook as a run, as `biosig-nb run` would."
    code = f"from biosig_nb.runs.execute import execute_run\nprint(execute_run({STUDY!r}, {given!r}, out={str(out)!r}, notebook={str(notebook)!r}, say=print))"
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=out.parent)


def finish(process, timeout=120):
    "Standard output of a process that must succeed."
    out, err = process.communicate(timeout=timeout)
    assert process.returncode == 0, err[-3000:]
    return out


def record(folder):
    return json.loads((folder / "run.json").read_text())
