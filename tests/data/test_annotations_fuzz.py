"""Annotation files with damaged bytes: each is refused by name, or read as wfdb reads it."""

from collections import Counter

import numpy as np
import pytest
import wfdb
from damage import flip, limited, replace

from biosig_nb.data.annotations import read_annotations
from biosig_nb.errors import DataError

NOTES = ["", "", "None", "(N", "(AFIB", "odd", "x\x04\xfcNone", "\x00\xec\x01\x02\xff\xff"]
WORDS = (0, 0, 1, 22 << 10, 42 << 10, 59 << 10, 60 << 10, 62 << 10, 63 << 10, (63 << 10) + 4)


def whole_file(folder, rng):
    "Bytes of a file that wfdb writes: jumps, notes, at times a clock and symbols of its own."
    n, own = int(rng.integers(2, 50)), [("Z", "mine"), ("z", "mine, too")]
    defined = own if rng.random() < 0.3 else None
    symbols = list("NSaVQ+~") + ["Z", "z"] * bool(defined)
    notes = NOTES if rng.random() < 0.6 else ["None"] * 9 + ["(AFIB"]  # as in Icentia11k
    wfdb.wrann(
        "whole",
        "atr",
        np.sort(rng.integers(0, rng.choice([900, 5_000_000]), n)),
        symbol=list(rng.choice(symbols, n)),
        aux_note=list(rng.choice(notes, n)),
        fs=250 if rng.random() < 0.5 else None,
        custom_labels=defined,
        chan=rng.integers(0, 3, n),
        write_dir=str(folder),
    )
    return (folder / "whole.atr").read_bytes()


def replace_word(raw, at, rng):
    raw[at & ~1 : (at & ~1) + 2] = int(rng.choice(WORDS)).to_bytes(2, "little")


def insert_word(raw, at, rng):
    raw[at & ~1 : at & ~1] = int(rng.choice(WORDS)).to_bytes(2, "little")


def remove(raw, at, rng):
    del raw[at : at + int(rng.choice([1, 2, 4, 6, 8]))]


def repeat(raw, at, rng):
    raw[at & ~1 : at & ~1] = raw[at & ~1 : (at & ~1) + 2 * int(rng.integers(1, 9))]


def cut(raw, at, rng):
    del raw[at & ~1 :]


def blank(raw, at, rng):
    n = int(rng.integers(1, 24))
    raw[at : at + n] = bytes(len(raw[at : at + n]))


def retell(raw, at, rng):
    "Letters of the notes at the start change, where there are any."
    if (i := raw.find(b"## ")) >= 0:
        raw[i + int(rng.integers(min(24, len(raw) - i)))] = int(rng.integers(32, 127))


MUTATIONS = (flip, replace, replace_word, insert_word, remove, repeat, cut, blank, retell)


def mutant(raw, rng):
    "The bytes of a file with one to three faults."
    raw = bytearray(raw)
    for _ in range(int(rng.integers(1, 4))):
        if len(raw) > 1:
            rng.choice(MUTATIONS)(raw, int(rng.integers(len(raw))), rng)
    return bytes(raw)


def by_wfdb(path):
    "What the library reads, or why there is nothing to compare with."
    try:
        with limited(0.2):
            return wfdb.rdann(str(path.with_suffix("")), "atr")
    except TimeoutError:
        return "read; wfdb does not end"
    except Exception:
        return "read; wfdb fails"


def outcome(path):
    "What becomes of a file; fails where it is neither refused by name nor read as by wfdb."
    try:
        with limited():
            ours = read_annotations(path.parent, path.stem)
    except DataError as e:
        assert "\n" not in str(e)
        assert str(e).startswith("record mutant: 'mutant.atr'")
        return "refused"
    theirs = by_wfdb(path)
    if isinstance(theirs, str):
        return theirs
    assert ours.sample.tolist() == theirs.sample.tolist()
    assert ours.symbol.tolist() == list(theirs.symbol)
    texts = [note.strip("\0") for note in theirs.aux_note]
    assert ours.aux.tolist() == ["" if note == "None" else note for note in texts]
    return "read as by wfdb"


@pytest.mark.parametrize("n", [200, pytest.param(2000, marks=pytest.mark.slow)])
def test_damaged_files(tmp_path, n):
    rng, path = np.random.default_rng(n), tmp_path / "mutant.atr"
    counts = Counter()
    whole = [whole_file(tmp_path, rng) for _ in range(n // 10)]
    for k in range(n):
        path.write_bytes(mutant(whole[k % len(whole)], rng))
        counts[outcome(path)] += 1
    print(dict(counts))
    assert counts["refused"] > 0.2 * n
    assert counts["read as by wfdb"] > 0.2 * n
