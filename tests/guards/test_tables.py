"""Whatever bytes a csv file holds: the table as it was meant, or one line that names the file."""

import random

import numpy as np
import pandas as pd
import pytest

from biosig_nb.data.formats.files import read_recording
from biosig_nb.data.own.deliveries import own_folder
from biosig_nb.errors import DataError
from biosig_nb.guards.tables import read_table

LOST = dict.fromkeys(("fhr", "uc"), "a number or nothing")


def signals(n=600, seed=3):
    rng = np.random.default_rng(seed)
    fhr = np.round(138 + 6 * np.sin(np.arange(n) / 90) + rng.normal(0, 0.8, n), 1)
    uc = np.round(15 + 30 * (np.sin(np.arange(n) / 150) > 0.7) + rng.random(n), 1)
    fhr[50:70] = np.nan
    return fhr, uc


def cell(value, comma):
    text = "" if np.isnan(value) else f"{value:g}"
    return text.replace(".", ",") if comma else text


def written(fhr, uc, separator=",", comma=False, end="\n", last="", quote=""):
    "A csv file in one of the ways of devices and spreadsheets."
    rows = [("FHR", "uc"), *((cell(a, comma), cell(b, comma)) for a, b in zip(fhr, uc))]
    lines = [separator.join(f"{quote}{c}{quote}" for c in row) + last for row in rows]
    return end.join(lines) + end


WAYS = [
    dict(),
    dict(separator=";", comma=True),
    dict(separator="\t", end="\r\n"),
    dict(last=","),
    dict(separator=";", comma=True, last=";", quote='"', end="\r"),
]


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_one_recording_in_many_ways_of_writing(way, tmp_path):
    fhr, uc = signals()
    path = tmp_path / "x.csv"
    path.write_bytes(written(fhr, uc, **way).encode())
    found = read_recording(path, "x.csv")
    assert [c.casefold() for c in found.channels] == ["fhr", "uc"]
    np.testing.assert_array_equal(found.signals, [fhr, uc])


@pytest.mark.parametrize("way", WAYS[:2], ids=str)
def test_the_cohort_does_not_depend_on_the_way_of_writing(way, tmp_path):
    lines = ["record,label"]
    for k in range(3):
        fhr, uc = signals(2400, seed=k)
        name = f"r{k}.csv"
        (tmp_path / name).write_text(written(fhr, uc, **way))
        lines.append(f"{name},{k % 2}")
    (tmp_path / "records.csv").write_text("\n".join(lines))
    cohort = own_folder(tmp_path, minutes=10)
    for k in range(3):
        fhr, uc = signals(2400, seed=k)
        (tmp_path / f"r{k}.csv").write_text(written(fhr, uc))
    plain = own_folder(tmp_path, minutes=10)
    np.testing.assert_array_equal(cohort.signals, plain.signals)
    pd.testing.assert_frame_equal(cohort.table, plain.table)


def test_random_damage_gives_a_table_or_a_named_error(tmp_path):
    rng, path = random.Random(5), tmp_path / "x.csv"
    good = written(*signals(40), quote='"').encode()
    for _ in range(400):
        raw = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(raw))
            kind = rng.randrange(3)
            if kind == 0:
                raw[at] = rng.choice(b'\0\n\r",;\t. x9\xff\xc3\xe2')
            elif kind == 1:
                del raw[at : at + rng.randint(1, 30)]
            else:
                raw[at:at] = rng.choice([b'"', b",", b"\n", b";", b"e999", b"\xef\xbb\xbf", b"nan"])
        path.write_bytes(raw)
        try:
            t = read_table(path, ("fhr", "uc"), numbers=LOST)
        except DataError as e:
            assert str(e).startswith("x.csv")
            assert "\n" not in str(e)
        else:
            assert list(t.columns)[:1] and {"fhr", "uc"} <= set(t.columns)
            assert np.isfinite(t[["fhr", "uc"]].fillna(0)).all(axis=None)


def test_a_missing_or_shifted_cell_never_moves_a_number(tmp_path):
    "Every single cell removed or doubled: refused, as no line but one has that many cells."
    rows = [["138", "15"], ["139", "16"], ["140", "17"]]
    path = tmp_path / "x.csv"
    for i in range(3):
        for j in range(2):
            for change in ("remove", "double"):
                changed = [list(r) for r in rows]
                if change == "remove":
                    del changed[i][j]
                else:
                    changed[i].insert(j, changed[i][j])
                path.write_text("\n".join(map(",".join, [["fhr", "uc"], *changed])))
                with pytest.raises(DataError, match=f"x.csv, line {i + 2} has"):
                    read_table(path, ("fhr", "uc"), numbers=LOST)


@pytest.mark.parametrize(
    "text",
    [
        "fhr,uc\n" + "1," * 3_000_000,
        "fhr,uc\n" + '"' * 3_000_001,
        "fhr" + "," * 3_000_000 + "\n",
        "fhr,uc\n" + "\n" * 2_500_000 + "1,1",
        "fhr,uc\n" + "9" * 3_000_000 + ",1",
        'fhr,uc\n"' + "9" * 3_000_000 + '",1',
    ],
    ids=["many cells", "many quotes", "many columns", "many lines", "long number", "long cell"],
)
def test_a_hostile_file_is_refused(text, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(DataError) as e:
        read_table(path, ("fhr", "uc"), numbers=LOST)
    assert len(str(e.value)) < 600


def test_links_are_followed_inside_the_folder_only(tmp_path):
    mine, secret = tmp_path / "mine", tmp_path / "secret.csv"
    mine.mkdir()
    secret.write_text("record,label\nr0.csv,1\n")
    (mine / "records.csv").symlink_to(secret)
    with pytest.raises(DataError, match="a file outside its folder"):
        own_folder(mine)
