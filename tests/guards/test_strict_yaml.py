"""YAML from outside: any text gives a value or one named error, soon."""

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from biosig_nb.errors import ConfigError
from biosig_nb.guards.strict_yaml import read_yaml
from biosig_nb.runs.grid import read_grid

GRID = """study: mitbih_ptb
base: &b {protocol: recommended, shared: 0.5}
grid: {n_repeats: [1, 2], seed: [0, 1, 2]}
---
study: fetal_head
runs: [{seed: 0}, {seed: 1, gamma: 0.0, folder: ~}]
"""
PARTS = st.sampled_from(
    ["&b ", "*b", "<<: ", "!!bool ", "? ", "- ", "[", "]", "{", "}", ": ", ", ", "\n", "  ", "~"]
    + ["010", "1:30", "2024-02-30", "1_0", "0x1", ".inf", "no", "9" * 400, "'", '"', "|", ">", "#"]
    + ["---\n", "...\n", "%YAML 9.9\n", "\x00", "\ufeff", "é", "\t", "seed", "grid", "1e999"]
)


def read(reader, text, path):
    path.write_text(text, encoding="utf-8")
    try:
        return reader(path)
    except ConfigError as e:
        assert "grid.yaml" in str(e)
        assert "\n" not in str(e)
        assert len(str(e)) < 10_000
    return None


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(0, len(GRID)), PARTS, st.integers(0, len(GRID)), PARTS)
def test_a_grid_with_anything_written_into_it(tmp_path, a, first, b, second):
    text = GRID[:a] + first + GRID[a:]
    read(read_grid, text[:b] + second + text[b:], tmp_path / "grid.yaml")


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(PARTS, max_size=25).map("".join))
def test_any_text(tmp_path, text):
    def several(path):
        return read_yaml(path, several=True)

    read(several, text, tmp_path / "grid.yaml")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-999, 999) | st.text("abcxyz _", max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc"), inner, max_size=4),
    max_leaves=12,
)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(VALUES, st.sampled_from([True, False]))
def test_what_pyyaml_writes_is_read_again(tmp_path, value, flow):
    path = tmp_path / "a.yaml"
    path.write_text(yaml.safe_dump(value, default_flow_style=flow))
    assert read_yaml(path) == value


@pytest.mark.parametrize(
    "text",
    [
        "study: [" + "[" * 5000,
        "study: {a: " * 4000,
        "a: &a\n- *a\n" * 400,
        "study: fetal_head\nbase: {seed: " + "1" * 90_000 + "}",
        "study: fetal_head\nruns: [" + "{seed: 1}," * 9000 + "]",
        "study: fetal_head\ngrid:\n" + "".join(f"  k{k}: [1, 2, 3]\n" for k in range(2000)),
        "study: " + "x" * 150_000,
        "study: fetal_head\nbase: {" + ", ".join(f"p{k}: 1" for k in range(4000)) + "}",
    ],
)
def test_large_mistakes_have_short_messages(text, tmp_path):
    assert read(read_grid, text, tmp_path / "grid.yaml") is None
