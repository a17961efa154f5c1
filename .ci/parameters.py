"""Write the parameters cell of each study's report.ipynb from study.yaml; `--check` only compares."""
import argparse
import json
import sys
from pathlib import Path

from biosig_nb.errors import BiosigError
from biosig_nb.studies.folders import find_studies, parameters_cell, write_parameters
from biosig_nb.studies.parameters import parameters_of


def written(
    study: str,      # name of a study
    path: Path,      # its report.ipynb
) -> str:            # content of the file with the cell as study.yaml says
    "A report notebook with its parameters cell written anew, in nbdev_clean's layout."
    notebook = json.loads(path.read_text(encoding="utf-8"))
    write_parameters(notebook, parameters_cell(parameters_of(study)), str(path))
    for cell in notebook["cells"]:
        if isinstance(cell["source"], str):
            cell["source"] = cell["source"].splitlines(keepends=True)
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    explained = "exit 1 when a report is out of step, and change nothing"
    parser.add_argument("--check", action="store_true", help=explained)
    check, stale = parser.parse_args().check, []
    for study, folder in find_studies(ours=True).items():
        path = folder / "report.ipynb"
        if not path.is_file():             # the base report is filled in when it is run
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
