"""README.md from nbs/index.ipynb: markdown cells as they are, code cells as fences with their text
output. `--check` only compares.
"""

import argparse
import json
import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INDEX = ROOT / "nbs" / "index.ipynb"


def from_root(text: str) -> str:
    "Relative links, which the notebook writes as seen from nbs/, as seen from the top folder."

    def moved(m):
        target = m[2]
        if re.match(r"[a-z]+:|#|/", target):
            return m[0]
        return f"{m[1]}{os.path.normpath(os.path.join('nbs', target))}{m[3]}"

    return re.sub(r"(\]\()([^)\s]+)(\))", moved, text)


def text_outputs(cell: dict) -> str:
    "What a reader sees under a code cell, pictures and tables left out where they have no text."
    parts = []
    for out in cell["outputs"]:
        text = out.get("text") or out.get("data", {}).get("text/plain") or ""
        parts.append("".join(text))
    return "".join(p if p.endswith("\n") else p + "\n" for p in parts if p.strip())


def render(path: Path = INDEX) -> str:
    "The whole README as one string."
    blocks = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            blocks.append(from_root(source))
        elif not re.search(r"^#\|\s*hide", source, re.M):
            blocks.append(f"```python\n{source}\n```")
            if shown := text_outputs(cell):
                blocks.append(f"```text\n{shown}```")
    return (
        "<!-- Written by .ci/readme.py from nbs/index.ipynb: edit that. -->\n\n"
        + "\n\n".join(b.strip("\n") for b in blocks)
        + "\n"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check",
        action="store_true",
        help="exit 1 when README.md is out of step, and change nothing",
    )
    check, readme = parser.parse_args().check, ROOT / "README.md"
    if not check:
        readme.write_text(render(), encoding="utf-8")
    elif not readme.exists() or readme.read_text(encoding="utf-8") != render():
        print("README.md is out of step with nbs/index.ipynb: run `make readme`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
