"""Every grid file that comes with the package holds runs that would start."""
import pytest
from biosig_nb.runs.grid import read_grid
from biosig_nb.studies.parameters import STUDIES, resolve
from checkout import ROOT

GRIDS = sorted((ROOT / "nbs" / "reports" / "grids").glob("*.yaml"))


@pytest.mark.parametrize("path", GRIDS, ids=lambda p: p.stem)
def test_grid_is_runnable(path):
    runs = read_grid(path)
    assert len(runs) >= 2 and all(resolve(r.study, r.parameters)[k] == v for r in runs for k, v in r.parameters.items())
    assert path.stem == "every_study" or all(path.stem.startswith(r.study) for r in runs)


def test_each_study_has_grids():
    assert {p.stem for p in GRIDS} >= {"every_study"} and [r.study for r in read_grid(ROOT / "nbs/reports/grids/every_study.yaml")] == list(STUDIES)
