"MATLAB files: every form of a matrix of samples is read as SciPy reads it; others are refused."

import numpy as np
import pytest
import scipy.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from biosig_nb.data.databases.challenge_2017 import read_resampled
from biosig_nb.data.mat_files import read_matrix
from biosig_nb.data.simulate.challenge_2017 import simulate_cinc
from biosig_nb.data.wfdb_files import read_record
from biosig_nb.errors import DataError

FORMS = ({"format": "4"}, {"format": "5"}, {"format": "5", "do_compression": True})
TYPES = (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64)
once = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def shapes(data):
    "Rows and columns of a small matrix."
    return data.draw(st.integers(1, 4)), data.draw(st.integers(5, 40))


@once
@given(data=st.data(), form=st.sampled_from(FORMS), dtype=st.sampled_from(TYPES))
def test_any_matrix_of_whole_numbers(tmp_path, data, form, dtype):
    rows, columns = shapes(data)
    seed = data.draw(st.integers(0, 1000))
    d = np.random.default_rng(seed).integers(0, 127, (rows, columns)).astype(dtype)
    turned = data.draw(st.booleans())
    others = {"about": "text", "more": np.eye(3)} if data.draw(st.booleans()) else {}
    scipy.io.savemat(tmp_path / "a.mat", {**others, "val": d.T if turned else d}, **form)
    m = read_matrix(tmp_path / "a.mat", "record a", rows, columns)
    np.testing.assert_array_equal(m.values, d)
    assert m.values.dtype == np.int16
    assert m.turned == turned
    start = data.draw(st.integers(0, columns - 1))
    part = read_matrix(tmp_path / "a.mat", "record a", rows, columns, start).values
    np.testing.assert_array_equal(part, d[:, start:])


@once
@given(data=st.data(), form=st.sampled_from(FORMS))
def test_a_damaged_file_is_read_or_refused_by_name(tmp_path, data, form):
    rows, columns = shapes(data)
    d = np.arange(rows * columns, dtype=np.int16).reshape(rows, columns)
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"val": d}, **form)
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        raw = raw[: data.draw(st.integers(0, len(raw)))]
    path.write_bytes(bytes(raw))
    try:
        m = read_matrix(path, "record a", rows, columns)
    except DataError as e:
        assert "record a: " in str(e)
        assert "a.mat" in str(e)
        assert "\n" not in str(e)
        return
    assert m.values.shape == (rows, columns)
    assert m.values.dtype in (np.int16, np.int32)


@pytest.mark.parametrize("size", [40_000, 2_000_000])
def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, size):
    path = tmp_path / "a.mat"
    zeros = np.zeros((12, size), np.int16)
    scipy.io.savemat(path, {"val": zeros}, do_compression=True)
    assert path.stat().st_size < zeros.nbytes / 500
    with pytest.raises(DataError, match=f"a matrix of 12 x {size}, its header promises 12 x 300"):
        read_matrix(path, "record a", 12, 300)
    with pytest.raises(DataError, match="expected at most 20,000,000"):
        read_matrix(path, "record a", 12, 10**9)


def test_every_reader_of_records_reads_saved_matrices(tmp_path):
    folder = simulate_cinc(tmp_path, n_records=4)
    names = (folder / "RECORDS").read_text().split()
    file = folder / f"{names[0]}.mat"
    counts = scipy.io.loadmat(file)["val"]
    before = read_resampled(folder, names[0])[0]
    for form in FORMS:
        scipy.io.savemat(file, {"val": counts.astype(float)}, **form)
        np.testing.assert_array_equal(read_resampled(folder, names[0])[0], before)
        np.testing.assert_array_equal(read_record(folder, names[0]).signals[0], counts[0] / 1000)
        part = read_record(folder, names[0], 5, 90).signals[0]
        np.testing.assert_array_equal(part, counts[0, 5:90] / 1000)
    file.write_bytes((folder / f"{names[1]}.mat").read_bytes())
    with pytest.raises(DataError, match=f"record {names[0]}: "):
        read_record(folder, names[0])
