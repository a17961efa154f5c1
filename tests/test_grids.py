"""Every grid file names a study that exists and holds parameter sets that a run would accept."""
from itertools import product

import pytest
import yaml

from biosig_nb.studies.parameters import resolve
from checkout import ROOT

GRIDS = sorted((ROOT / "nbs" / "reports" / "grids").glob("*.yaml"))


def runs_of(grid: dict) -> list[dict]:
    "The parameter sets: each of `runs`, and each combination of `grid`, on top of `base`."
    base, axes = grid.get("base", {}), grid.get("grid", {})
    return [{**base, **r} for r in grid.get("runs", [])] + ([{**base, **dict(zip(axes, v))} for v in product(*axes.values())] if axes else [])


@pytest.mark.parametrize("path", GRIDS, ids=lambda p: p.stem)
def test_grid_is_runnable(path):
    grid = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert set(grid) <= {"study", "base", "grid", "runs"} and path.stem.startswith(grid["study"])
    runs = runs_of(grid)
    found = [resolve(grid["study"], r) for r in runs]
    assert len(runs) >= 2 and all(f[k] == v for f, r in zip(found, runs) for k, v in r.items())
    assert len({str(sorted(f.items())) for f in found}) == len(runs)          # no two runs alike


def test_there_are_grids():
    assert GRIDS
