"""The table of codes against the tables of its two publishers."""

import ast
import os
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from biosig_nb.data.databases.label_map import load_label_map, statement_of
from biosig_nb.data.databases.ptb_xl_tables import statements


def _slice(name: str) -> Path:
    root = os.environ.get("BIOSIG_DATA")
    path = Path(root) / name if root else None
    if path is None or not path.is_dir():
        pytest.skip(f"BIOSIG_DATA holds no {name}")
    return path


@pytest.fixture(scope="module")
def codes() -> pd.DataFrame:
    folder = _slice("challenge-2021/1.0.3")
    t = pd.concat(
        [
            pd.read_csv(folder / f"dx_mapping_{k}.csv", dtype={"SNOMEDCTCode": str})
            for k in ("scored", "unscored")
        ]
    )
    return t.set_index("SNOMEDCTCode")


@pytest.mark.realdata
def test_each_code_is_the_challenges(codes):
    table = load_label_map()
    assert set(table.index) <= set(codes.index)
    assert (codes.Abbreviation[table.index] == table.abbreviation).all()
    both = table[table["merge"] == "RBBB"].index
    assert all("We score 713427006 and 59118001 as the same" in codes.Notes[c] for c in both)
    published = table[table.part == "published"]
    assert (codes.Georgia[published.index] > 0).all()
    assert codes.Georgia["59118001"] == 542
    assert codes.Georgia["713427006"] == 28


@pytest.mark.realdata
def test_each_statement_is_ptbxls():
    table, list_ = load_label_map(), statements(_slice("ptb-xl/1.0.3"))
    assert set(table.scp) - {""} <= set(list_.index)
    assert list_.diagnostic[table.scp[table.part == "published"]].all()
    for options in ({}, {"merge": True, "normal": "NORM", "further": True}):
        assert set(statement_of(**options).values()) <= set(list_.index)


@pytest.mark.realdata
def test_pairs_against_the_challenges_own_translation(codes):
    path = _slice("ptb-xl/1.0.3").parents[2] / "labels/ptbxl_database_all_folds.csv.gz"
    if not path.is_file():
        pytest.skip("no table of all folds beside the slices")
    codes_of = [set(ast.literal_eval(s)) for s in pd.read_csv(path).scp_codes]
    n = Counter(k for s in codes_of for k in s)
    table = load_label_map()
    table = table[(table.scp != "") & (codes.PTB_XL[table.index] > 0)]
    far = {row.scp for code, row in table.iterrows() if abs(codes.PTB_XL[code] - n[row.scp]) > 4}
    assert far == {"LVH", "NDT", "SR"}
    assert all(load_label_map().note[table.index[table.scp.isin(far)]] != "")

    def either(*k):
        return sum(bool(s & set(k)) for s in codes_of)

    assert abs(codes.PTB_XL["164873001"] - either("LVH", "VCLVH")) <= 5
    assert abs(codes.PTB_XL["428750005"] - either("DIG", "ANEUR", "EL")) <= 4
    assert abs(codes.PTB_XL["164934002"] - either("NDT", "NT_", "TAB_", "LOWT")) <= 4
