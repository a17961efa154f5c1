"CTU-UHB: the clinical table and the label counts against the real headers."

import os
from pathlib import Path

import pytest

from biosig_nb.data.databases.ctu_uhb_ctgdb import clinical_table, counts_table

FOLDER = Path(os.environ.get("BIOSIG_DATA") or "/nonexistent") / "ctu-uhb-ctgdb" / "1.0.0"
EXPECTED = {
    552: (
        [20, 40, 56, 105, 177],
        [22, 44, 61, 113, 194],
        dict(ultrasound=413, scalp=102, both=35, unknown=2),
        46,
        15,
    ),
    91: ([9, 13, 18, 27, 45], [10, 15, 19, 30, 47], dict(scalp=51, ultrasound=36, both=4), 7, 5),
}


@pytest.mark.realdata
@pytest.mark.skipif(not FOLDER.is_dir(), reason="BIOSIG_DATA holds no ctu-uhb-ctgdb/1.0.0")
def test_counts():
    t = clinical_table(FOLDER)
    if len(t) not in EXPECTED:
        pytest.skip(f"{len(t)} records on disk; counts are known for {sorted(EXPECTED)}")
    below, at, kinds, sections, low = EXPECTED[len(t)]
    counts = counts_table(t)
    assert (counts["below"].tolist(), counts["at or below"].tolist()) == (below, at)
    assert t.kind.value_counts().to_dict() == kinds
    assert t.caesarean.sum() == sections
    assert t.caesarean[t.pH < 7.05].sum() == low
