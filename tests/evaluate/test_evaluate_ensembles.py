"""Ensembles on a public table of 71 labels, and EC57's counts on real records.

The counts are checked against the WFDB package and a plain loop.
"""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from biosig_nb.evaluate.clinical.ec57 import beat_counts, counts_matrix
from biosig_nb.evaluate.clinical.ec57_table import ec57_table
from biosig_nb.evaluate.metrics import macro_auroc
from biosig_nb.evaluate.predictions import (
    make_predictions,
    probabilities,
    truth,
    validate_predictions,
)
from biosig_nb.evaluate.transfer.ensembles import soft_vote, stack

ARMS = ["scratch", "noisy", "blunt"]
LABELS = tuple(f"label{j:02d}" for j in range(71))
PARTS = ("validation", "test")


def rows(table, arm, part):
    "Rows of one arm and part."
    return table[(table.arm == arm) & (table.part == part)]


def logits(tables):
    "Log odds of several arms, clipped as the stacker does [arm, n, label]."
    P = np.stack([probabilities(t) for t in tables])
    return np.clip(np.log(P / (1 - P)), np.log(1e-6), -np.log(1e-6))


@pytest.fixture(scope="module")
def table():
    """The benchmark's xresnet1d101 on PTB-XL (fold 9 validation, fold 10 test).

    With a noisy copy, and an underconfident one.
    """
    root = os.environ.get("BIOSIG_DATA")
    path = Path(root).resolve().parent / "golden" / "ptbxl_all71_xresnet1d101.npz" if root else None
    if path is None or not path.is_file():
        pytest.skip("no golden/ptbxl_all71_xresnet1d101.npz beside BIOSIG_DATA")
    out, rng = [], np.random.default_rng(0)
    with np.load(path) as z:
        for part, s in (("validation", "val"), ("test", "test")):
            Y, P = z[f"y_{s}"].astype(float), z[f"p_{s}"].astype(float).clip(1e-6, 1 - 1e-6)
            odds, ids = np.log(P / (1 - P)), [f"{part}{i:05d}" for i in range(len(Y))]
            for arm, logits in zip(ARMS, (odds, odds + rng.normal(0, 1, odds.shape), odds / 3)):
                out.append(
                    make_predictions(
                        study="golden",
                        target="ptbxl",
                        protocol="published",
                        model="xresnet1d101",
                        arm=arm,
                        part=part,
                        example=ids,
                        group=ids,
                        Y=Y,
                        P=1 / (1 + np.exp(-logits)),
                        labels=LABELS,
                    )
                )
    return validate_predictions(pd.concat(out, ignore_index=True))


@pytest.mark.realdata
def test_vote_of_71_labels(table):
    vote = soft_vote(table, ARMS)
    validate_predictions(pd.concat([table, vote], ignore_index=True))
    test = vote[vote.part == "test"]
    mean = np.mean(
        [probabilities(table[(table.arm == a) & (table.part == "test")]) for a in ARMS], axis=0
    )
    assert np.allclose(probabilities(test), mean, atol=1e-15)
    assert set(test.model) == {"xresnet1d101"}


@pytest.mark.realdata
def test_stack_of_71_labels_equals_scikit_learn_and_does_not_use_the_test_labels(table):
    stacked = stack(table, ARMS)
    validate_predictions(pd.concat([table, stacked], ignore_index=True))
    validation, test = ({a: rows(table, a, part) for a in ARMS} for part in PARTS)
    fitting, scoring = (logits(of.values()) for of in (validation, test))
    Y, Y_test = truth(validation["scratch"]), truth(test["scratch"])
    P = probabilities(stacked[stacked.part == "test"])
    for j in np.flatnonzero(Y.sum(axis=0) > 0)[::12]:
        fit = LogisticRegression(C=1.0, tol=1e-10, max_iter=2000)
        fit.fit(fitting[:, :, j].T, Y[:, j])
        assert np.abs(fit.predict_proba(scoring[:, :, j].T)[:, 1] - P[:, j]).max() < 1e-3
    notes, bare = stacked.attrs["notes"], [l for l, n in zip(LABELS, Y.sum(axis=0)) if n == 0]
    assert len(notes) == len(bare)
    assert all("left to the vote" in n for n in notes)
    assert macro_auroc(Y_test, P) > macro_auroc(Y_test, probabilities(test["noisy"]))
    spoiled, labels = table.copy(), [f"y_{l}" for l in LABELS]
    spoiled.loc[spoiled.part == "test", labels] = 1 - spoiled.loc[spoiled.part == "test", labels]
    assert np.array_equal(probabilities(stack(spoiled, ARMS)), probabilities(stacked))


AAMI = {
    s: c
    for c, symbols in {"N": "NLRej", "S": "AaJS", "V": "VE", "F": "F", "Q": "/fQ"}.items()
    for s in symbols
}


@pytest.fixture(scope="module")
def beats():
    "Real MIT-BIH records: truth from the annotations, calls from a rule on the RR interval."
    wfdb = pytest.importorskip("wfdb")
    folder = Path(os.environ.get("BIOSIG_DATA") or "/nonexistent") / "mitdb" / "1.0.0"
    if not folder.is_dir():
        pytest.skip("BIOSIG_DATA holds no mitdb/1.0.0")
    tables, plain = [], {}
    for path in sorted(folder.glob("*.atr")):
        a = wfdb.rdann(str(path.with_suffix("")), "atr")
        kept = [(s, AAMI[c]) for s, c in zip(a.sample, a.symbol) if c in AAMI]
        sample, y = np.array([s for s, _ in kept]), [c for _, c in kept]
        rr = np.diff(sample, prepend=sample[0] - 300) / np.median(np.diff(sample))
        called = np.where(rr < 0.7, "V", np.where(rr < 0.88, "S", np.where(rr > 1.6, "F", "N")))
        P = np.full((len(y), 5), 0.05)
        P[np.arange(len(y)), ["NSVFQ".index(c) for c in called]] = 0.8
        record = f"mitdb/{path.stem}"
        plain[record] = Counter(zip(y, called.tolist()))
        tables.append(
            make_predictions(
                study="mitbih_ptb",
                target="mitdb",
                protocol="recommended",
                model="RR rule",
                arm="rule",
                example=[f"{record}/{s:06d}" for s in sample],
                group=[record] * len(y),
                Y=np.eye(5)[["NSVFQ".index(c) for c in y]],
                P=P,
                labels=tuple("NSVFQ"),
            )
        )
    return validate_predictions(pd.concat(tables, ignore_index=True)), plain


@pytest.mark.realdata
def test_counts_of_real_records(beats):
    df, plain = beats
    counts = beat_counts(df)
    for record, rows in counts.groupby("record"):
        M = counts_matrix(rows)
        found = {(r, c): M.loc[r, c] for r in "NSVFQ" for c in "NSVFQ" if M.loc[r, c]}
        assert found == dict(plain[record])


@pytest.mark.realdata
def test_rates_of_real_records_by_a_plain_loop(beats):
    df, plain = beats
    got = ec57_table(df, n_resamples=200).set_index(["label", "rate", "statistic"])

    def rates(n, c, false):
        beats, calls = sum(n[c, k] for k in "NSVFQ"), n[c, c] + sum(n[r, c] for r in false)
        return (n[c, c] / beats if beats else np.nan, n[c, c] / calls if calls else np.nan)

    # as bxb of the WFDB software: Qs, Fv and Qv are not false
    for c, false in (("S", "NVF"), ("V", "NS")):
        gross = rates(sum(plain.values(), Counter()), c, false)
        each = np.array([rates(n, c, false) for n in plain.values()])
        for i, rate in enumerate(("sensitivity", "ppv")):
            assert abs(got.estimate[c, rate, "gross"] - gross[i]) < 1e-12
            assert abs(got.estimate[c, rate, "average"] - np.nanmean(each[:, i])) < 1e-12
            assert got.n_records[c, rate, "gross"] == np.isfinite(each[:, i]).sum()


@pytest.mark.realdata
def test_s_beats_of_one_patient_carry_no_interval(beats):
    table = ec57_table(beats[0], n_resamples=200)
    assert table[table.label == "S"].lo.isna().all()
    assert any("no interval for S" in n for n in table.attrs["notes"])
