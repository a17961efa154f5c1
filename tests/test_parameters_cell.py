"""The parameters cell of each report notebook: what papermill reads in it is what Python reads, and what the presets declare."""
import ast, json
import papermill
import pytest
from biosig_nb.studies.parameters import parameters_of
from checkout import ROOT

REPORTS = sorted((ROOT / "nbs" / "reports").glob("*.ipynb"))
COMMON = {"preset": ("str", "smoke"), "source": ("str", "simulated"), "protocol": ("str", "both"), "seed": ("int", 0), "threads": ("int", 1), "data_root": ("str", ""), "run_dir": ("str", "")}


def parameters_cell(path):
    "Source of the one cell tagged `parameters`."
    cells = [c for c in json.loads(path.read_text(encoding="utf-8"))["cells"] if "parameters" in c["metadata"].get("tags", [])]
    assert len(cells) == 1, f"{path.name}: {len(cells)} cells are tagged parameters"
    return "".join(cells[0]["source"])


def read(source):
    "Name -> (annotation, default, source line) of a cell that holds nothing but `name: type = default`."
    lines, found = source.splitlines(), {}
    for node in ast.parse(source).body:
        assert isinstance(node, ast.AnnAssign) and node.value is not None, f"not a typed parameter: {ast.unparse(node)}"
        assert node.lineno == node.end_lineno, f"papermill reads one line only: {ast.unparse(node)}"
        found[node.target.id] = (ast.unparse(node.annotation), ast.literal_eval(node.value), lines[node.lineno - 1])
    return found


@pytest.fixture(params=REPORTS, ids=lambda p: p.stem)
def report(request):
    return request.param


def test_there_is_a_report():
    assert REPORTS


def test_papermill_reads_what_python_reads(report):
    seen, cell = papermill.inspect_notebook(str(report)), read(parameters_cell(report))
    assert list(seen) == list(cell)
    for name, (annotation, default, line) in cell.items():
        assert seen[name]["inferred_type_name"] == annotation, name
        assert ast.literal_eval(seen[name]["default"]) == default, name
        assert seen[name]["help"] and line.endswith("# " + seen[name]["help"]), f"{name} has no help, or papermill reads another one"
        assert "|" not in annotation and line.count("=") == 1, f"{line}: papermill's inspector drops such a line"


def test_common_parameters_stand_with_their_defaults(report):
    cell = read(parameters_cell(report))
    assert {k: cell[k][:2] for k in COMMON if k in cell} == COMMON
    assert {k: v[1] for k, v in cell.items() if k not in COMMON and v[1] is not None} == {}, "a study's tunables default to None: the preset gives the value"


def test_resolve_comes_next_and_once(report):
    cells = [("".join(c["source"]), c["metadata"].get("tags", [])) for c in json.loads(report.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code"]
    at = next(i for i, (_, tags) in enumerate(cells) if "parameters" in tags)
    assert "resolve(" in cells[at + 1][0], "the cell after the parameters calls resolve"
    assert not any("default_exp" in source or "#| export" in source for source, _ in cells), "a report exports nothing"


def test_cell_and_presets_declare_the_same(report):
    cell, seen, declared = read(parameters_cell(report)), papermill.inspect_notebook(str(report)), parameters_of(report.stem)
    assert list(cell) == list(declared)
    for name, spec in declared.items():
        assert (cell[name][0], seen[name]["help"]) == (spec["type"], spec["help"]), name
        if "default" in spec: assert cell[name][1] == spec["default"], name
        else: assert {"smoke", "quick", "full"} <= set(spec), f"{name} lacks a preset's value"
