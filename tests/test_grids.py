"""Every grid file that comes with a study holds runs that would start."""

import pytest

from biosig_nb.runs.grid import plan_sweep, read_grid, ready_grids
from biosig_nb.studies.folders import find_studies
from biosig_nb.studies.parameters import resolve

GRIDS = ready_grids()


@pytest.mark.parametrize("name", GRIDS)
def test_grid_is_runnable(name):
    runs = read_grid(GRIDS[name])
    assert len(runs) >= 2
    for run in runs:
        p = resolve(run.study, run.parameters)
        assert {k: p[k] for k in run.parameters} == run.parameters
    assert {r.study for r in runs} == {name.split("/")[0]}, "a study's grids are of that study"
    assert plan_sweep(name) == runs
    assert plan_sweep(name.replace("/", "_")) == runs, "the former name still works"


def test_every_study_is_each_study_once():
    assert [r.study for r in plan_sweep("every_study")] == list(find_studies(ours=True))
    assert GRIDS
