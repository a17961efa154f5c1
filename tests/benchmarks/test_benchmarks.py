"Every script of benchmarks/ runs: with --quick it takes seconds and measures something."

import importlib
import re
import shutil

import pytest
from checkout import ROOT

SLOW = ("demo_worlds", "sweep", "train_speed")  # they train, or start workers
SCRIPTS = [
    pytest.param(p.stem, marks=[pytest.mark.slow] if p.stem in SLOW else [])
    for p in sorted((ROOT / "benchmarks").glob("*.py"))
]


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_quick_round(name, monkeypatch, capsys):
    if name == "download" and not shutil.which("curl"):
        pytest.skip("no curl on this machine")
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    importlib.import_module(name).main(["--quick"])
    said = capsys.readouterr().out
    assert "not under the data root" not in said
    assert any(float(n) > 0 for n in re.findall(r"[0-9]+[.][0-9]+", said)), said
