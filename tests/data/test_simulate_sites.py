"""Simulated twelve-lead records and the publishers' own files: codes, layout, size of signals."""

import csv
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from biosig_nb.data.databases.challenge_2021 import challenge_records
from biosig_nb.data.databases.ptb_xl import ptbxl_records
from biosig_nb.data.databases.ptb_xl_leads import einthoven_error
from biosig_nb.data.simulate.challenge_2021 import COMPLETE, SCORED, simulate_georgia
from biosig_nb.data.simulate.ptb_xl import simulate_ptbxl
from biosig_nb.data.simulate.statements import STATEMENTS
from biosig_nb.data.wfdb_files import read_record

REAL = Path(os.environ.get("BIOSIG_DATA", "/nowhere"))
PTBXL, CHALLENGE = REAL / "ptb-xl/1.0.3", REAL / "challenge-2021/1.0.3"
needs_ptbxl = pytest.mark.skipif(
    not (PTBXL / "scp_statements.csv").is_file(), reason="needs PTB-XL under BIOSIG_DATA"
)
needs_georgia = pytest.mark.skipif(
    not (CHALLENGE / "dx_mapping_scored.csv").is_file(),
    reason="needs the Georgia records under BIOSIG_DATA",
)


@pytest.mark.realdata
@needs_ptbxl
def test_statements_are_those_of_the_publisher():
    with open(PTBXL / "scp_statements.csv", newline="", encoding="utf-8") as f:
        real = {row[""]: row for row in csv.DictReader(f)}
    columns = {"d": "diagnostic", "f": "form", "r": "rhythm"}
    for code, s in STATEMENTS.items():
        row = real[code]
        assert s.kinds == "".join(k for k, column in columns.items() if row[column] == "1.0"), code
        assert s.superclass == row["diagnostic_class"], code
        assert s.subclass == row["diagnostic_subclass"], code
        assert s.title == row["description"], code


@pytest.mark.realdata
@needs_georgia
def test_snomed_codes_are_those_of_the_challenge():
    real = {}
    for which in ("scored", "unscored"):
        table = pd.read_csv(CHALLENGE / f"dx_mapping_{which}.csv", dtype={"SNOMEDCTCode": str})
        real[which] = table.set_index("SNOMEDCTCode")
    entries = [(c, s.snomed, s.abbreviation, s.name) for c, s in STATEMENTS.items() if s.snomed]
    for code, snomed, short, name in [*entries, ("CRBBB", *COMPLETE)]:
        row = real["scored" if code in SCORED else "unscored"].loc[snomed]
        assert row.Abbreviation == short, code
        assert row.Georgia > 0, code
        assert row.Dx.strip(" .").lower() == name, code


RECORD = "training/georgia/g1/E00001"


def header_lines(folder: Path) -> list[str]:
    "Lines of a header without comments, with numbers that depend on the samples as n."
    lines = (folder / f"{RECORD}.hea").read_text().splitlines()
    numbers = r"-?\d+(?= 0 \w+$)|-?\d+(?= -?\d+ 0 \w+$)"
    return [re.sub(numbers, "n", line.strip()) for line in lines if line[0] != "#"]


def comment_keys(folder: Path) -> list[str]:
    "Names of the first five comments."
    lines = (folder / f"{RECORD}.hea").read_text().splitlines()
    return [x.strip("# \n").split(":")[0] for x in lines if x[0] == "#" and ":" in x][:5]


@pytest.mark.realdata
@needs_georgia
def test_files_look_like_the_georgia_ones(tmp_path):
    ours = simulate_georgia(tmp_path, n_records=40)
    assert header_lines(ours) == header_lines(CHALLENGE)
    assert comment_keys(ours) == comment_keys(CHALLENGE)
    mat, real = (ours / f"{RECORD}.mat").read_bytes(), (CHALLENGE / f"{RECORD}.mat").read_bytes()
    assert mat[:24] == real[:24]
    assert len(mat) == len(real)
    sums = np.round(read_record(ours, RECORD).signals * 1000).sum(axis=1)
    text = (ours / f"{RECORD}.hea").read_text()
    checksums = re.findall(r"(-?\d+) 0 \w+$", text, re.M)
    assert [(int(v) - int(c)) % 65536 for v, c in zip(sums, checksums)] == [0] * 12


def typical_deviation(x: np.ndarray) -> np.ndarray:
    "Median standard deviation of each lead (mV)."
    return np.median(x.std(axis=-1), axis=0)


def main_direction(x: np.ndarray) -> np.ndarray:
    "Sign of the largest deflection of each lead."
    centred = x - np.median(x, axis=-1, keepdims=True)
    largest = np.abs(centred).argmax(axis=-1)[..., None]
    return np.sign(np.median(np.take_along_axis(centred, largest, axis=-1)[..., 0], axis=0))


@pytest.mark.realdata
@needs_ptbxl
def test_signals_are_of_the_size_of_real_ones(tmp_path):
    ours = ptbxl_records(simulate_ptbxl(tmp_path, n_records=120), "all").signals
    real = ptbxl_records(PTBXL, "all").signals
    ratio = typical_deviation(ours) / typical_deviation(real)
    assert ratio.min() > 0.4, ratio.round(2)
    assert ratio.max() < 2.5, ratio.round(2)
    same = main_direction(ours) == main_direction(real)
    assert same[[0, 1, 3, 6, 10, 11]].all()  # I, II, aVR, V1, V5, V6
    assert np.median(einthoven_error(ours)) < 0.005
    assert np.median(einthoven_error(real)) < 0.05


def median_spectrum(folder: Path) -> np.ndarray:
    "Median power of V1 of 12 records."
    names = [f"training/georgia/g1/E{i:05d}" for i in range(1, 13)]
    x = np.stack([read_record(folder, name).signals[6] for name in names])
    return np.median(np.abs(np.fft.rfft(x - x.mean(axis=1, keepdims=True))) ** 2, axis=0)


def test_domain_shift_filters_and_wanders(tmp_path):
    near, far = (
        median_spectrum(simulate_georgia(tmp_path / str(shift), n_records=12, shift=shift))
        for shift in (0.0, 1.0)
    )
    f = np.fft.rfftfreq(5000, 1 / 500)
    high, slow = (f > 80) & (f < 150), (f > 0.05) & (f < 0.45)
    assert far[high].sum() < 0.5 * near[high].sum()  # the recorder's filter
    assert far[slow].sum() > 1.5 * near[slow].sum()  # electrodes that wander


def snomed_codes(folder: Path, number: int) -> set[str]:
    "SNOMED codes of a record."
    comments = read_record(folder, f"training/georgia/g1/E{number:05d}").comments
    return set(next(c for c in comments if c.startswith("Dx"))[4:].split(","))


def test_georgia_is_read_by_the_reader_of_the_real_records(tmp_path):
    folder = simulate_georgia(tmp_path, n_records=60)
    apart, merged = (challenge_records(folder, merge=merge) for merge in (False, True))
    assert apart.provenance["simulated"]
    assert apart.signals.shape == (60, 12, 1000)
    assert einthoven_error(apart.signals).max() < 1e-3
    written = [snomed_codes(folder, i) for i in range(1, 61)]

    def labels(cohort, code):
        return cohort.labels[:, cohort.label_names.index(code)]

    for code in ("LVH", "NDT", "LNGQT", "1AVB"):
        expected = [int(STATEMENTS[code].snomed in codes) for codes in written]
        assert labels(apart, code).tolist() == expected, code
    both = {STATEMENTS["CRBBB"].snomed, COMPLETE[0]}
    assert labels(merged, "CRBBB").tolist() == [int(bool(both & codes)) for codes in written]
    assert labels(apart, "CRBBB").sum() < labels(merged, "CRBBB").sum()
