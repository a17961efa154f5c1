"Sets of contrastive predictive coding: against the files, over many patients and over one."

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st

from biosig_nb.data.databases.icentia11k_continuous_ecg import IcentiaSource
from biosig_nb.data.databases.mitdb_segments import MitdbSource
from biosig_nb.data.segments.cpc import cpc_cohort, expand_cpc
from biosig_nb.data.segments.ecg_segments import SegmentSampler
from biosig_nb.data.segments.segment_source import Recording
from biosig_nb.data.simulate.icentia11k_continuous_ecg import simulate_holter
from biosig_nb.errors import ConfigError, DataError
from biosig_nb.learn.recipe import Recipe
from biosig_nb.learn.splits import holdout
from biosig_nb.learn.task import examples, exclusive
from biosig_nb.learn.transforms import StandardiseContext, prepared

DATA = Path(os.environ.get("BIOSIG_DATA") or "/nonexistent")
ICENTIA, MITDB = DATA / "icentia11k-continuous-ecg" / "1.0", DATA / "mitdb" / "1.0.0"


def needs(folder):
    return pytest.mark.skipif(
        not folder.is_dir(), reason=f"BIOSIG_DATA holds no {folder.parent.name}/{folder.name}"
    )


@pytest.fixture(scope="module")
def holter(tmp_path_factory):
    return IcentiaSource(
        simulate_holter(
            tmp_path_factory.mktemp("holter"), n_patients=7, n_recordings=2, n_samples=20_000
        )
    )


class Named:
    "A source of any number of patients, all samples different, nothing on disk."

    database, fs = "named", 250.0

    def __init__(self, n):
        self.patients = [f"p{i:05d}" for i in range(n)]

    def recordings(self, patient):
        return [Recording(patient, f"{patient}_s00", None, 2000)]

    def segments(self, s, start, size):
        return (
            int(s.patient[1:]) * 1e4
            + np.asarray(start)[:, None]
            + np.arange(size).astype(np.float32)
        )

    def about(self):
        return dict(database="named", version="", simulated=True, fingerprint="", missing=[])


def test_segments_are_the_samples_of_the_file(holter):
    c = cpc_cohort(
        SegmentSampler(holter, size=256, rule=None, seed=3), 60, context=3, negatives=2, skip=1
    )
    for x, y, patient, record, start in zip(
        c.signals, c.labels, c.table.patient, c.table.record, c.table.start
    ):
        ref = (
            wfdb.rdrecord(
                str(holter.folder / patient[:3] / patient / record),
                sampfrom=start,
                sampto=start + 5 * 256,
            )
            .p_signal[:, 0]
            .reshape(5, 256)
        )
        np.testing.assert_allclose(x[:3], ref[:3], atol=1e-6)
        np.testing.assert_allclose(x[3 + y], ref[4], atol=1e-6)
        assert all(np.abs(x[3 + k] - ref[4]).max() > 0.01 for k in range(3) if k != y)
    assert c.provenance["fingerprint"] == holter.about()["fingerprint"]
    assert c.provenance["simulated"] is True
    assert c.provenance["skip"] == 1


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(2, 90),
    st.floats(0.05, 1),
    st.integers(1, 3),
    st.integers(1, 20),
)
def test_even_over_any_number_of_patients(patients, n, share, of, mix):
    sampler = SegmentSampler(
        Named(patients), size=50, rule=None, share=share, part=(0, of), mix=mix
    )
    plan = expand_cpc(sampler, n, 3, 2, 0, None)
    assert len(plan.start) == n
    names, k = np.unique([plan.recordings[s].patient for s in plan.recording], return_counts=True)
    assert len(names) == min(n, len(sampler.patients()))
    assert k.max() - k.min() <= 1
    assert of > 1 or set(names) <= set(sampler.patients())


def test_same_seed_same_set(holter):
    sampler = SegmentSampler(holter, size=256, rule=None, seed=3)
    a, b, other = (cpc_cohort(s, 50) for s in (sampler, sampler, replace(sampler, seed=4)))
    assert (a.signals == b.signals).all()
    assert (a.labels == b.labels).all()
    assert list(a.table.index) == list(b.table.index)
    assert list(a.table.index) != list(other.table.index)
    # a rule changes nothing
    assert (cpc_cohort(replace(sampler, rule="beat"), 50).signals == a.signals).all()


def test_the_answer_is_any_candidate(holter):
    c = cpc_cohort(SegmentSampler(holter, size=128, rule=None), 800, context=2)
    assert np.bincount(c.labels, minlength=4).min() > 150
    assert c.label_names == c.channels[2:]


def test_one_patient_split_by_time(holter):
    one = IcentiaSource(holter.folder, ["p00002"])
    c = cpc_cohort(SegmentSampler(one, size=256, rule=None), 200, same=0.5)
    assert len(set(c.groups)) == 1
    c = replace(
        c,
        groups=np.array(
            [f"{one.database}/{r}/{s // 2500}" for r, s in zip(c.table.record, c.table.start)]
        ),
    )
    split = holdout(c.groups, c.labels, test=0.2, validation=0.2, seed=0)
    assert not set(c.groups[split.train]) & set(c.groups[split.test])
    assert len(split.test)


def test_the_set_is_an_ordinary_task(holter):
    c = cpc_cohort(SegmentSampler(holter, size=128, rule=None), 140)
    split = holdout(c.groups, c.labels, test=0.2, validation=0.2, seed=0)
    z = prepared(StandardiseContext(), c, split)
    e = examples(z, split.train, Recipe())
    assert exclusive(c)
    assert tuple(e.x.shape[1:]) == (8, 128)
    assert e.real is None
    assert e.y.max() == 3
    seen = z.signals[split.train, :4].astype(float)
    assert abs(seen.mean()) < 1e-4
    assert abs(seen.std() - 1) < 1e-4


def test_errors_name_what_to_do(holter):
    sampler = SegmentSampler(holter, size=256, rule=None)
    for how, words in (
        (dict(context=0), "context=0"),
        (dict(negatives=0), "negatives=0"),
        (dict(skip=-1), "skip=-1"),
        (dict(same=1.5), "same=1.5"),
    ):
        with pytest.raises(ConfigError, match=words):
            cpc_cohort(sampler, 10, **how)
    with pytest.raises(ConfigError, match="at least 2 examples"):
        cpc_cohort(sampler, 1)
    with pytest.raises(DataError, match="take shorter segments or fewer"):
        cpc_cohort(replace(sampler, size=8192), 10)

    class Flat(Named):
        def segments(self, s, start, size):
            return np.zeros((len(start), size), np.float32)

    with pytest.raises(DataError, match="no usable example"):
        cpc_cohort(SegmentSampler(Flat(3), size=50, rule=None), 10)


@pytest.mark.realdata
@needs(ICENTIA)
def test_one_real_patient():
    source = IcentiaSource(ICENTIA)
    c = cpc_cohort(SegmentSampler(source, size=1024, rule=None), 150)
    assert c.provenance["simulated"] is False
    assert set(c.table.patient) <= set(source.patients)
    assert np.abs(c.signals).max() < 20
    row, x, y = c.table.iloc[0], c.signals[0], c.labels[0]
    path = ICENTIA / row.patient[:3] / row.patient / row.record
    ref = (
        wfdb.rdrecord(str(path), sampfrom=int(row.start), sampto=int(row.start) + 5 * 1024)
        .p_signal[:, 0]
        .reshape(5, 1024)
    )
    np.testing.assert_allclose(np.concatenate([x[:4], x[4 + y][None]]), ref, atol=1e-6)
    assert len(c) > 120
    assert c.flow.dropped.sum() == 150 - len(c)


@pytest.mark.realdata
@needs(MITDB)
def test_real_patients_of_mitdb():
    source = MitdbSource(MITDB)
    c = cpc_cohort(SegmentSampler(source, size=512, rule=None), 90)
    per = c.table.patient.value_counts()
    assert set(c.table.patient) <= set(source.patients)
    assert per.max() - per.min() <= 1 + c.flow.dropped.sum()
    assert c.fs == 250
