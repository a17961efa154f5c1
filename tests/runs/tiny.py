"""A report notebook that takes seconds.

Its cells: the parameters of a study, `resolve`, some cells of the test, and results.
"""

import json
import subprocess
import sys

import nbformat

from biosig_nb.studies.folders import find_studies
from biosig_nb.studies.parameters import parameters_of
from biosig_nb.studies.parameters_cell import parameters_cell

STUDY = next(iter(find_studies(ours=True)))  # any: nothing of it is computed
PARAMETERS = parameters_cell(parameters_of(STUDY))
SPEC = {"kernelspec": {"name": "python3", "language": "python", "display_name": "python3"}}
RESOLVE = """import os, time
from pathlib import Path
from biosig_nb.studies.parameters import resolve
P = resolve("STUDY", globals())
RUN = Path(P["run_dir"])"""
RESULTS = """import pandas as pd
from biosig_nb.evaluate.predictions import simulate_predictions
from biosig_nb.studies.results import write_results
write_results(
    RUN,
    predictions=simulate_predictions(seed=P["seed"]),
    metrics=pd.DataFrame(),
    comparisons=pd.DataFrame(),
    splits={},
    primary={"headline": None, "verdict": None},
    data={},
);"""


def report(path, *cells, tagged=True, study=STUDY, parameters=PARAMETERS):
    "Write the notebook; `cells` are between `resolve` and the results."
    sources = (parameters, RESOLVE.replace("STUDY", study), *cells, RESULTS)
    made = [nbformat.v4.new_code_cell(source) for source in sources]
    if tagged:
        made[0].metadata["tags"] = ["parameters"]
    nbformat.write(nbformat.v4.new_notebook(cells=made, metadata=SPEC), path)
    return path


def start(notebook, out, **given):
    "A process that executes the notebook as a run, as `biosig-nb run` would."
    code = f"""from biosig_nb.runs.execute import execute_run
how = dict(out={str(out)!r}, notebook={str(notebook)!r}, say=print)
print(execute_run({STUDY!r}, {given!r}, **how))"""
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=out.parent,
    )


def finish(process, timeout=120):
    "Standard output of a process that must succeed."
    out, err = process.communicate(timeout=timeout)
    assert process.returncode == 0, err[-3000:]
    return out


def record(folder):
    "Content of run.json."
    return json.loads((folder / "run.json").read_text())
