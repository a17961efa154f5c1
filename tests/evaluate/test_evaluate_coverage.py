"""The coverage that reports quote is that of the output stored in the chapter."""

import json
import re
from pathlib import Path

import pytest

from biosig_nb.evaluate.inference.coverage import TRUTHS, coverage_table

CHAPTER = Path(__file__).parents[2] / "nbs/evaluate/inference/60_coverage.ipynb"


def stored_output() -> str:
    "Text of the output of the slow cell that fills the table."
    cells = [
        c
        for c in json.loads(CHAPTER.read_text(encoding="utf-8"))["cells"]
        if "coverage.csv" in "".join(c["source"]) and "".join(c["source"]).startswith("#| slow")
    ]
    assert len(cells) == 1
    return "".join(cells[0]["outputs"][0]["data"]["text/plain"])


def test_file_and_chapter_agree():
    table = coverage_table().set_index(["statistic", "n_groups", "resample"])
    rows = re.findall(
        r"^(.*?)\s+(10|20|50|200)\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)$", stored_output(), re.M
    )
    assert len(rows) == len(TRUTHS) * 4
    name = ""
    for first, n, ours, naive, ours_width, naive_width in rows:
        name = first.strip() or name
        for how, coverage, width in (
            ("patients", ours, ours_width),
            ("examples", naive, naive_width),
        ):
            r = table.loc[(name, int(n), how)]
            assert float(coverage) == pytest.approx(r.coverage, abs=6e-4), (name, n, how)
            assert float(width) == pytest.approx(r.width, abs=6e-4), (name, n, how)


def test_enough_repeats_for_two_digits():
    t = coverage_table()
    assert t.repeats.min() >= 2000
    assert t.se.max() < 0.015
