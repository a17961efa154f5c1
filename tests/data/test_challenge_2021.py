"Recordings of the 2021 challenge against other readers and against their headers."

import os
from pathlib import Path

import numpy as np
import pytest
from scipy import signal
from scipy.io import loadmat

from biosig_nb.data.cached_cohorts import cached
from biosig_nb.data.databases.challenge_2021 import challenge_records
from biosig_nb.data.databases.challenge_files import read_counts, read_twelve
from biosig_nb.data.databases.label_map import load_label_map
from biosig_nb.data.databases.ptb_xl_leads import LEADS
from biosig_nb.data.wfdb_files import check_first_samples, wrong_checksum
from biosig_nb.data.wfdb_headers import read_header
from biosig_nb.errors import DataError

wfdb = pytest.importorskip("wfdb")


@pytest.fixture(scope="module")
def folder() -> Path:
    root = os.environ.get("BIOSIG_DATA")
    path = Path(root) / "challenge-2021/1.0.3" if root else None
    if path is None or not path.is_dir():
        pytest.skip("BIOSIG_DATA holds no challenge-2021")
    return path


@pytest.fixture(scope="module")
def georgia(folder):
    return challenge_records(folder)


def _lines(folder: Path, record: str) -> dict:
    text = next((folder / "training/georgia").glob(f"*/{record}.hea")).read_text().splitlines()
    return dict(x[1:].split(": ", 1) for x in text if x.startswith("#"))


@pytest.mark.realdata
def test_samples_are_those_of_the_file(folder):
    stored, read_by_wfdb = challenge_records(folder, fs=None), 0
    assert stored.fs == 500
    assert stored.channels == LEADS
    for i, record in enumerate(stored.table.record):
        path = next((folder / "training/georgia").glob(f"*/{record}.mat"))
        gain = {line.split()[2] for line in path.with_suffix(".hea").read_text().splitlines()[1:13]}
        assert len(gain) == 1
        counts = loadmat(path)["val"]
        assert counts.shape == (12, 5000)
        assert (
            stored.signals[i] == (counts / float(gain.pop().split("/")[0])).astype(np.float32)
        ).all()
        try:
            theirs = wfdb.rdrecord(str(path.with_suffix("")))
        except Exception:
            continue
        read_by_wfdb += 1
        assert theirs.sig_name == list(LEADS)
        assert np.allclose(theirs.p_signal.T, stored.signals[i], atol=1e-6)
    assert len(stored) == 74
    assert read_by_wfdb >= 10


@pytest.mark.realdata
def test_headers_agree_and_catch_the_published_mistake(folder, georgia):
    caught = 0
    for record in georgia.table.record:
        at = next((folder / "training/georgia").glob(f"*/{record}.hea")).parent
        h = read_header(at, record)
        v, repairs = read_counts(h)
        assert repairs == ()
        assert check_first_samples(h, v)
        assert wrong_checksum(h, v) == ""
        try:
            check_first_samples(h, v.reshape(5000, 12).T)
        except DataError:
            caught += 1
    assert caught == 74
    assert (georgia.table.repairs == "").all()
    assert (georgia.table.einthoven < 0.05).all()


@pytest.mark.realdata
def test_labels_age_sex_groups(folder, georgia):
    scp = {code: row.scp for code, row in load_label_map().iterrows() if row.part == "published"}
    for i, (name, row) in enumerate(georgia.table.iterrows()):
        header = _lines(folder, row.record)
        codes = header["Dx"].split(",")
        wanted = sorted({scp[c] for c in codes if c in scp})
        assert (
            row.statements.split()
            == wanted
            == [k for k, v in zip(georgia.label_names, georgia.labels[i]) if v]
        )
        assert row.sex == header["Sex"].lower()
        assert np.isnan(row.age) if header["Age"] == "NaN" else row.age == float(header["Age"])
        assert name == f"challenge-2021/georgia/{row.record}"
    digest = [
        next((folder / "training/georgia").glob(f"*/{r}.mat")).read_bytes()
        for r in georgia.table.record
    ]
    # files that are the same share a group
    assert georgia.groups.tolist() == [georgia.table.index[digest.index(d)] for d in digest]
    same = [r for r, g in zip(georgia.table.record, georgia.groups) if not g.endswith(r)]
    assert same == ["E07510"]
    assert any("of these 1 hold the samples of an earlier record" in w for w in georgia.flow.why)
    assert len(georgia.label_names) == 18
    assert len(georgia) + len(georgia.provenance["missing"]) == 10344
    assert not georgia.provenance["simulated"]
    merged, normal = challenge_records(folder, merge=True), challenge_records(folder, normal="NORM")
    assert georgia.provenance["overlaps"] == []

    def column(c, k):
        return c.labels[:, c.label_names.index(k)].sum()

    def has(code):
        return sum(code in _lines(folder, r)["Dx"].split(",") for r in georgia.table.record)

    assert column(merged, "CRBBB") == column(georgia, "CRBBB") + has("59118001")
    assert has("59118001") == 5
    assert column(normal, "NORM") == has("426783006") == 19


@pytest.mark.realdata
def test_resampling_against_fourier(folder, georgia):
    assert georgia.signals.shape == (74, 12, 1000)
    assert georgia.mask.all()
    stored = challenge_records(folder, fs=None)
    low = signal.butter(4, 30, fs=100, output="sos")
    for i in range(0, 74, 4):
        theirs = signal.resample(stored.signals[i].astype(float), 1000, axis=1)

        def calm(v):
            return signal.sosfiltfilt(low, v)[:, 150:-150]

        assert np.abs(calm(georgia.signals[i].astype(float)) - calm(theirs)).max() < 0.02 * max(
            1.0, np.ptp(theirs)
        )


@pytest.mark.realdata
def test_misread_keeps_numbers_and_breaks_leads(folder, georgia):
    from biosig_nb.data.databases.ptb_xl_leads import einthoven_error
    from biosig_nb.learn.transforms import AxisOrderBug

    wrong = AxisOrderBug(gain=1.0).fit(georgia)(georgia).signals
    assert np.allclose(np.sort(wrong.reshape(74, -1)), np.sort(georgia.signals.reshape(74, -1)))
    assert np.median(einthoven_error(wrong)) > 0.3 > 0.05 > einthoven_error(georgia.signals).max()


@pytest.mark.realdata
def test_cache_of_resampled_recordings(folder, georgia, tmp_path):
    read = cached(
        lambda: georgia, tmp_path, {"fingerprint": georgia.provenance["fingerprint"], "fs": 100.0}
    )
    error, top = (
        np.abs(np.asarray(read.signals, float) - georgia.signals),
        np.abs(georgia.signals).max(axis=2),
    )
    # below half a step of the finest recorder
    assert (error.max(axis=2) <= 1.01 * top / 65534 + 1e-9).all()
    assert error.max() < 1 / 4880 / 2
    assert (read.mask == georgia.mask).all()
    assert read.label_names == georgia.label_names


@pytest.mark.realdata
def test_broken_record_is_named(folder, tmp_path):
    at = tmp_path / "challenge-2021/1.0.3/training/georgia/g1"
    at.mkdir(parents=True)
    first = sorted((folder / "training/georgia").glob("*/*.hea"))[:6]
    for p in first:
        for end in (".hea", ".mat"):
            (at / p.name).with_suffix(end).write_bytes(p.with_suffix(end).read_bytes())
    mat = (at / first[0].name).with_suffix(".mat")
    mat.write_bytes(mat.read_bytes()[:-2])
    with pytest.raises(DataError, match=f"record training/georgia/g1/{first[0].stem}: .*truncated"):
        challenge_records(tmp_path / "challenge-2021/1.0.3")
    left = challenge_records(tmp_path / "challenge-2021/1.0.3", broken="drop", normal="NORM")
    assert first[0].stem not in set(left.table.record)
    assert first[0].stem in left.flow.why.iloc[1]
    assert left.flow.dropped.iloc[1] == 1
    assert read_twelve(
        folder, f"training/georgia/{first[1].parent.name}/{first[1].stem}"
    ).signals.shape == (12, 1000)
