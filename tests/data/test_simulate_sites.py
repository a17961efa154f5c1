"""Simulated twelve-lead records beside the publishers' own files: codes, layout, size of the signals."""

import csv
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from biosig_nb.data.databases.ptb_xl import einthoven_error, ptbxl_records
from biosig_nb.data.simulate.ptb_xl import COMPLETE, SCORED, simulate_georgia, simulate_ptbxl
from biosig_nb.data.simulate.twelve_leads import STATEMENTS
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
        real = {r[""]: r for r in csv.DictReader(f)}
    for code, s in STATEMENTS.items():
        r = real[code]
        assert s.kinds == "".join(
            k for k, column in zip("dfr", ("diagnostic", "form", "rhythm")) if r[column] == "1.0"
        ), code
        assert (s.superclass, s.subclass) == (r["diagnostic_class"], r["diagnostic_subclass"]), code
        assert s.title == r["description"], code


@pytest.mark.realdata
@needs_georgia
def test_snomed_codes_are_those_of_the_challenge():
    real = {
        k: pd.read_csv(CHALLENGE / f"dx_mapping_{k}.csv", dtype={"SNOMEDCTCode": str}).set_index(
            "SNOMEDCTCode"
        )
        for k in ("scored", "unscored")
    }
    entries = [(c, s.snomed, s.abbreviation, s.name) for c, s in STATEMENTS.items() if s.snomed] + [
        ("CRBBB", *COMPLETE)
    ]
    for code, snomed, short, name in entries:
        row = real["scored" if code in SCORED else "unscored"].loc[snomed]
        assert row.Abbreviation == short and row.Georgia > 0, code
        assert row.Dx.strip(" .").lower() == name, code


@pytest.mark.realdata
@needs_georgia
def test_files_look_like_the_georgia_ones(tmp_path):
    ours, name = simulate_georgia(tmp_path, n_records=40), "training/georgia/g1/E00001"
    shape = lambda folder: [
        re.sub(r"-?\d+(?= 0 \w+$)|-?\d+(?= -?\d+ 0 \w+$)", "n", x.strip())
        for x in (folder / f"{name}.hea").read_text().splitlines()
        if x[0] != "#"
    ]
    assert shape(ours) == shape(CHALLENGE)
    keys = lambda folder: [
        x.strip("# \n").split(":")[0]
        for x in (folder / f"{name}.hea").read_text().splitlines()
        if x[0] == "#" and ":" in x
    ]
    assert keys(ours)[:5] == keys(CHALLENGE)[:5]
    head, real = (ours / f"{name}.mat").read_bytes(), (CHALLENGE / f"{name}.mat").read_bytes()
    assert head[:24] == real[:24] and len(head) == len(real)
    sums = lambda folder: [
        (int(v) - int(c)) % 65536
        for v, c in zip(
            np.round(read_record(folder, name).signals * 1000).sum(axis=1),
            re.findall(r"(-?\d+) 0 \w+$", (folder / f"{name}.hea").read_text(), re.M),
        )
    ]
    assert sums(ours) == [0] * 12


@pytest.mark.realdata
@needs_ptbxl
def test_signals_are_of_the_size_of_real_ones(tmp_path):
    ours, real = (
        ptbxl_records(folder, "all").signals
        for folder in (simulate_ptbxl(tmp_path, n_records=120), PTBXL)
    )
    spread = lambda x: np.median(x.std(axis=-1), axis=0)  # typical deviation in each lead (mV)
    ratio = spread(ours) / spread(real)
    assert ratio.min() > 0.4 and ratio.max() < 2.5, ratio.round(2)
    signs = lambda x: np.sign(
        np.median(
            [[v[np.abs(v - np.median(v)).argmax()] - np.median(v) for v in r] for r in x], axis=0
        )
    )
    # I, II, aVR, V1, V5, V6 point the same way
    assert (signs(ours) == signs(real))[[0, 1, 3, 6, 10, 11]].all()
    assert np.median(einthoven_error(ours)) < 0.005 and np.median(einthoven_error(real)) < 0.05


def test_domain_shift_filters_and_wanders(tmp_path):
    def spectrum(shift):
        folder = simulate_georgia(tmp_path / str(shift), n_records=12, shift=shift)
        x = np.stack(
            [read_record(folder, f"training/georgia/g1/E{i:05d}").signals[6] for i in range(1, 13)]
        )
        return np.median(np.abs(np.fft.rfft(x - x.mean(axis=1, keepdims=True))) ** 2, axis=0)

    f, near, far = np.fft.rfftfreq(5000, 1 / 500), spectrum(0.0), spectrum(1.0)
    high, slow = (f > 80) & (f < 150), (f > 0.05) & (f < 0.45)
    assert far[high].sum() < 0.5 * near[high].sum()  # the recorder's filter
    assert far[slow].sum() > 1.5 * near[slow].sum()  # electrodes that wander


def test_georgia_is_read_by_the_reader_of_the_real_records(tmp_path):
    from biosig_nb.data.databases.challenge_2021 import challenge_records

    folder = simulate_georgia(tmp_path, n_records=60)
    apart, merged = (challenge_records(folder, merge=k) for k in (False, True))
    assert (
        apart.provenance["simulated"]
        and apart.signals.shape == (60, 12, 1000)
        and einthoven_error(apart.signals).max() < 1e-3
    )
    named = lambda cohort, code: cohort.labels[:, cohort.label_names.index(code)]
    said = [
        set(
            next(
                c
                for c in read_record(folder, f"training/georgia/g1/E{i:05d}").comments
                if c.startswith("Dx")
            )[4:].split(",")
        )
        for i in range(1, 61)
    ]
    for code in ("LVH", "NDT", "LNGQT", "1AVB"):
        assert named(apart, code).tolist() == [int(STATEMENTS[code].snomed in s) for s in said], (
            code
        )
    assert named(merged, "CRBBB").tolist() == [
        int(bool({STATEMENTS["CRBBB"].snomed, COMPLETE[0]} & s)) for s in said
    ]
    assert named(apart, "CRBBB").sum() < named(merged, "CRBBB").sum()
