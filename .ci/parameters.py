"""Write the parameters cell of each study's report.ipynb from study.yaml; `--check` only compares,
`--page NAME` writes a first report of its own for a study.
"""

import argparse
import json
import sys
from pathlib import Path

from biosig_nb.errors import BiosigError, ConfigError
from biosig_nb.studies.folders import find_studies
from biosig_nb.studies.parameters import parameters_of
from biosig_nb.studies.parameters_cell import parameters_cell, write_parameters
from biosig_nb.studies.study_yaml import load_config


def written(
    study: str,  # name of a study
    path: Path,  # its report.ipynb
) -> str:  # content of the file with the cell as study.yaml says
    "A report notebook with its parameters cell written anew, in nbdev_clean's layout."
    notebook = json.loads(path.read_text(encoding="utf-8"))
    write_parameters(notebook, parameters_cell(parameters_of(study)), str(path))
    for cell in notebook["cells"]:
        if isinstance(cell["source"], str):
            cell["source"] = cell["source"].splitlines(keepends=True)
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


PAGE = (
    ("parameters", ""),
    (
        "",
        "#| hide\nfrom biosig_nb.studies.parameters import resolve\n"
        "from biosig_nb.studies.report import Report\n\n"
        'R = Report(resolve("{name}", globals()))',
    ),
    ("", '#| hide\nR.rest("data")'),
    (
        "",
        "#| hide\n# a picture of the study's own stands here:\n"
        '# R.picture(figure, "name", "what it shows, in a sentence")',
    ),
    ("", "#| hide\nR.rest()"),
)


def new_page(
    name: str,  # of a study
) -> Path:  # its report.ipynb
    "A first page of its own for a study: all general sections, with room between them."
    folder = find_studies(ours=True).get(name)
    if folder is None or (folder / "report.ipynb").exists():
        raise ConfigError(f"--page {name}: expected a study of nbs/studies without a report.ipynb")
    title = load_config(name)["title"]
    cells = [{"cell_type": "markdown", "id": "00-report", "metadata": {}, "source": [f"# {title}"]}]
    for k, (tag, source) in enumerate(PAGE, 1):
        cell = {"cell_type": "code", "execution_count": None, "id": f"{k:02d}-report"}
        cell["metadata"] = {"tags": [tag]} if tag else {}
        text = source.replace("{name}", name)
        cells.append({**cell, "outputs": [], "source": text.splitlines(keepends=True)})
    kernel = {"display_name": "python3", "language": "python", "name": "python3"}
    made = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    path = folder / "report.ipynb"
    path.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    explained = "exit 1 when a report is out of step, and change nothing"
    parser.add_argument("--check", action="store_true", help=explained)
    parser.add_argument("--page", metavar="NAME", help="study that gets a report of its own")
    args = parser.parse_args()
    if args.page:
        new_page(args.page)
    check, stale = args.check, []
    for study, folder in find_studies(ours=True).items():
        path = folder / "report.ipynb"
        if not path.is_file():  # the base report is filled in when it is run
            continue
        text = written(study, path)
        if path.read_text(encoding="utf-8") == text:
            continue
        stale.append(path)
        if not check:
            path.write_text(text, encoding="utf-8")
    for path in stale:
        name = f"{path.parent.name}/{path.name}"
        if check:
            cure = "its parameters cell is out of step with study.yaml: run `make parameters`"
            print(f"{name}: {cure}", file=sys.stderr)
        else:
            print(f"{name}: written")
    return int(check and bool(stale))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BiosigError as e:
        print(f"parameters: {e}", file=sys.stderr)
        sys.exit(1)
