"""The parameters cell of each report notebook: what papermill reads in it is what Python reads, and
what study.yaml declares.
"""

import ast
import json
import shutil
import sys

import papermill
import pytest
from checkout import ROOT, command

from biosig_nb.studies.folders import find_studies
from biosig_nb.studies.parameters import parameters_of
from biosig_nb.studies.parameters_cell import parameters_cell, report_of
from biosig_nb.studies.study_yaml import common_parameters

STUDIES = list(find_studies())


def parameters_source(notebook):
    "Source of the one cell tagged `parameters`."
    cells = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    assert len(cells) == 1, f"{len(cells)} cells are tagged parameters"
    return cells[0].source


def read(source):
    """Name -> (annotation, default, source line) of a cell that holds nothing but `name: type =
    default`.
    """
    lines, found = source.splitlines(), {}
    for node in ast.parse(source).body:
        assert isinstance(node, ast.AnnAssign) and node.value is not None, (
            f"not a typed parameter: {ast.unparse(node)}"
        )
        assert node.lineno == node.end_lineno, f"papermill reads one line only: {ast.unparse(node)}"
        found[node.target.id] = (
            ast.unparse(node.annotation),
            ast.literal_eval(node.value),
            lines[node.lineno - 1],
        )
    return found


@pytest.fixture(params=STUDIES)
def study(request):
    return request.param


def own_report(study):
    return (find_studies()[study] / "report.ipynb").is_file()


def test_there_is_a_report():
    assert STUDIES and any(map(own_report, STUDIES))


def test_papermill_reads_what_python_reads(study):
    notebook = report_of(study)
    seen, cell = papermill.inspect_notebook(notebook), read(parameters_source(notebook))
    assert list(seen) == list(cell)
    for name, (annotation, default, line) in cell.items():
        assert seen[name]["inferred_type_name"] == annotation, name
        assert ast.literal_eval(seen[name]["default"]) == default, name
        assert seen[name]["help"] and line.endswith("# " + seen[name]["help"]), (
            f"{name} has no help, or papermill reads another one"
        )
        assert "|" not in annotation and line.count("=") == 1, (
            f"{line}: papermill's inspector drops such a line"
        )


def test_common_parameters_stand_with_their_defaults(study):
    cell, common = read(parameters_source(report_of(study))), common_parameters()
    # None where the default differs with recordings of one's own: `resolve` decides
    usual = {k: None if "with_target" in s else s.get("default") for k, s in common.items()}
    assert {k: cell[k][1] for k in common} == usual
    assert {
        k: v[1] for k, v in cell.items() if k not in (*common, "study") and v[1] is not None
    } == {}, "a study's tunables default to None: the preset gives the value"


def test_cell_is_what_study_yaml_says(study):
    assert parameters_source(report_of(study)) == parameters_cell(
        parameters_of(study), "" if own_report(study) else study
    ), "run `make parameters`"


def test_resolve_comes_next(study):
    if not own_report(study):
        pytest.skip("the base report")
    cells = [
        (c.source, c.metadata.get("tags", []))
        for c in report_of(study).cells
        if c.cell_type == "code"
    ]
    at = next(i for i, (_, tags) in enumerate(cells) if "parameters" in tags)
    assert "resolve(" in cells[at + 1][0], "the cell after the parameters calls resolve"
    assert not any("default_exp" in source or "#| export" in source for source, _ in cells), (
        "a report exports nothing"
    )


def test_reports_are_in_step():
    command(sys.executable, ".ci/parameters.py", "--check")


def test_a_report_out_of_step_is_noticed_and_written(tmp_path):
    "In a copy of the checkout, so that this one stays as it is."
    for part in (".ci", "biosig_nb"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    name = next(s for s in find_studies(ours=True) if own_report(s))
    for file in ("common.yaml", f"{name}/study.yaml", f"{name}/report.ipynb"):
        (tmp_path / "nbs" / "studies" / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "nbs" / "studies" / file, tmp_path / "nbs" / "studies" / file)
    path, env = tmp_path / "nbs" / "studies" / name / "report.ipynb", {"PYTHONPATH": str(tmp_path)}
    before = path.read_text(encoding="utf-8")
    notebook = json.loads(before)
    cell = next(c for c in notebook["cells"] if "parameters" in c["metadata"].get("tags", []))
    cell["source"] = cell["source"][:-1]
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    with pytest.raises(AssertionError, match="out of step with study.yaml: run `make parameters`"):
        command(sys.executable, ".ci/parameters.py", "--check", cwd=tmp_path, env=env)
    command(sys.executable, ".ci/parameters.py", cwd=tmp_path, env=env)
    assert path.read_text(encoding="utf-8") == before
