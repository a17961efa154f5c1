"""What is committed: quiet outputs, nothing huge, documents in step, and imports that run downward only."""

import ast
import json
import re
import sys
from pathlib import Path

import pytest
from checkout import ROOT, checkout_files, command

FILES = checkout_files()
NOTEBOOKS = [p for p in FILES if p.suffix == ".ipynb"]
MODULES = [
    p for p in FILES if p.parts[0] == "biosig_nb" and p.suffix == ".py" and p.name != "_modidx.py"
]

NOISE = {
    "an absolute path": r"(?:^|[\s\"'(=:>\[])/(?:home|root|tmp|work|Users|usr|var|opt|mnt|media|data|private|builds?)/|\b[A-Z]:\\\\?\w",
    "a host": r"\bhttps?://(?!(?:www\.w3\.org|creativecommons\.org|matplotlib\.org|physionet\.org|doi\.org|zenodo\.org)/)|\blocalhost\b|\b127\.0\.0\.1\b",
    "an ANSI code": r"\x1b\[",
    "a progress bar": r"\d%\|[^|]*\||[█▏▎▍▌▋▊▉]|\bit/s\b|\bs/it\b",
    "a warning": r"\b\w*Warning: ",
    "library chatter": r"GPU available|TPU available|HPU available|`Trainer\.",
    "a memory address": r"\bat 0x[0-9a-f]{6,}",
}


def noise_in(cell):
    "What a code cell's outputs hold that would differ elsewhere, or that no reader needs."
    for out in cell.get("outputs", []):
        if out["output_type"] == "error":
            yield "an error", out["ename"]
        if out["output_type"] == "stream" and out["name"] == "stderr":
            yield "standard error", "".join(out["text"])[:80]
        texts = [out.get("text", "")] + [
            v
            for k, v in out.get("data", {}).items()
            if not k.startswith("image/") or k == "image/svg+xml"
        ]
        for text in ("".join(t) if isinstance(t, list) else str(t) for t in texts):
            for what, pattern in NOISE.items():
                if m := re.search(pattern, text):
                    yield what, text[max(0, m.start() - 30) : m.end() + 30]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=str)
def test_notebook_outputs_are_quiet_and_small(path):
    text = (ROOT / path).read_text(encoding="utf-8")
    assert len(text.encode()) <= 1e6, (
        f"{path} has {len(text.encode()) / 1e6:.1f} MB; draw smaller figures"
    )
    for i, cell in enumerate(json.loads(text)["cells"]):
        found = list(noise_in(cell))
        assert not found, f"{path}, cell {i}: {found[0][0]}: {found[0][1]!r}"


@pytest.mark.parametrize(
    "noise",
    [
        "/home/anna/x.dat",
        "see 'C:\\Users\\x'",
        "http://node17:8888/lab",
        "\x1b[31mred",
        " 45%|████   | 9/20",
        "UserWarning: old",
        "<function f at 0x7f12ab34cd56>",
        "GPU available: False",
    ],
)
def test_noise_is_noticed(noise):
    assert list(
        noise_in({"outputs": [{"output_type": "stream", "name": "stdout", "text": [noise]}]})
    )


@pytest.mark.parametrize(
    "plain",
    [
        "mitdb/1.0.0/100.dat",
        "AUROC 0.91 [0.85, 0.95]",
        "100 % of 48 records",
        "1/2 and 3/4",
        "data/20_wfdb_files",
    ],
)
def test_plain_outputs_pass(plain):
    assert not list(
        noise_in({"outputs": [{"output_type": "stream", "name": "stdout", "text": [plain]}]})
    )


def test_no_big_file():
    big = {str(p): (ROOT / p).stat().st_size for p in FILES if (ROOT / p).stat().st_size > 20e6}
    assert not big, f"over 20 MB: {big}"


def test_readme_is_in_step():
    command(sys.executable, ".ci/readme.py", "--check")


@pytest.mark.parametrize("path", [p for p in FILES if p.suffix == ".md"] + NOTEBOOKS, ids=str)
def test_relative_links_lead_somewhere(path):
    text = (ROOT / path).read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        text = "\n".join(
            "".join(c["source"]) for c in json.loads(text)["cells"] if c["cell_type"] == "markdown"
        )
    targets = [
        t.split("#")[0]
        for t in re.findall(
            r"\]\(([^)\s]+)\)", re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.S)
        )
        if not re.match(r"[a-z]+:|#|attachment:", t)
    ]
    missing = [t for t in targets if t and not (ROOT / path.parent / t).exists()]
    assert not missing, f"{path} links to {missing}"


# Which rooms a room may import. `errors` and `files` lie under all of them.
BELOW = {
    "errors": set(),
    "files": set(),
    "signals": set(),
    "models": set(),
    "evaluate": set(),
    "data": {"signals"},
}
BELOW["learn"] = {"data", "signals", "models", "evaluate"}
BELOW["studies"] = BELOW["learn"] | {"learn"}
BELOW["runs"] = BELOW["studies"] | {"studies"}
BELOW["cli"] = BELOW["runs"] | {"runs"}
NEVER = {
    "files": {"torch", "lightning", "peft", "pandas"},
    **{room: {"torch", "lightning", "peft"} for room in ("data", "signals", "runs", "cli")},
    "learn": {"wfdb", "papermill"},
}


def room_of(path):
    return path.parts[1].removesuffix(".py")


def imports(source, package):
    """Top-level packages that a module imports anywhere, our own as 'biosig_nb.<room>'.

    `package` resolves relative ones.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = (
                package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            )
            stem = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{stem}.{a.name}" for a in node.names] if stem == "biosig_nb" else [stem]
            if any(a.name == "*" for a in node.names):
                yield "*"
        else:
            continue
        for name in names:
            yield (
                ".".join(name.split(".")[:2])
                if name.startswith("biosig_nb.")
                else name.split(".")[0]
            )


def breaches(path, source):
    "Rules that the imports of a module break."
    room, package = room_of(path), ".".join(path.parent.parts)
    for name in imports(source, package):
        if name == "*":
            yield "imports everything from a module (import *)"
        if name in NEVER.get(room, ()):
            yield f"{room} imports {name}"
        if name.startswith("biosig_nb."):
            other = name.split(".")[1]
            if other not in BELOW[room] | {room, "errors", "files", "__version__"}:
                yield f"{room} imports {other}"


@pytest.mark.parametrize(
    "path", [p for p in MODULES if p.name != "__init__.py" or p.parent.name != "biosig_nb"], ids=str
)
def test_imports_run_downward(path):
    assert not list(breaches(path, (ROOT / path).read_text(encoding="utf-8"))), path


@pytest.mark.parametrize(
    "path, source",
    [
        ("biosig_nb/data/x.py", "import torch"),
        ("biosig_nb/data/x.py", "def f():\n    from torch.nn import Linear"),
        ("biosig_nb/learn/x.py", "import papermill as pm"),
        ("biosig_nb/evaluate/x.py", "from ..signals.beats import rr"),
        ("biosig_nb/models/x.py", "from biosig_nb.data import cohort"),
        ("biosig_nb/learn/x.py", "from ..studies import mitbih_ptb"),
        ("biosig_nb/runs/x.py", "from ..cli import app"),
        ("biosig_nb/files.py", "from .data import cohort"),
        ("biosig_nb/files.py", "import pandas as pd"),
        ("biosig_nb/signals/x.py", "from numpy import *"),
        ("biosig_nb/data/x.py", "from .. import runs"),
    ],
)
def test_a_breach_is_noticed(path, source):
    assert list(breaches(Path(path), source))


@pytest.mark.parametrize(
    "path, source",
    [
        (
            "biosig_nb/data/x.py",
            "from ..signals.beats import rr\nfrom .cohort import Cohort\nfrom ..errors import DataError",
        ),
        ("biosig_nb/learn/x.py", "import torch\nfrom ..evaluate.metrics import auroc"),
        ("biosig_nb/evaluate/x.py", "from ..files import whole_file"),
        ("biosig_nb/cli.py", "from .runs.execute import execute_run"),
    ],
)
def test_downward_imports_pass(path, source):
    assert not list(breaches(Path(path), source))


def modules(*rooms):
    "Import names of the rooms' modules, in order."
    return sorted(
        ".".join(p.with_suffix("").parts).removesuffix(".__init__")
        for p in MODULES
        if room_of(p) in rooms
    )


@pytest.mark.parametrize(
    "names, unwanted",
    [
        (
            [
                "biosig_nb",
                *modules("errors", "files", "data", "signals", "runs", "cli"),
                *(n for n in modules("studies") if n.endswith((".folders", ".parameters"))),
            ],
            ["torch", "lightning", "peft", "transformers"],
        ),
        (modules("learn"), ["wfdb", "papermill"]),
        (modules("errors", "files"), ["torch", "pandas"]),
    ],
    ids=["no torch below learn", "no wfdb in learn", "files are light"],
)
def test_import_loads_nothing_unwanted(names, unwanted):
    """Through others neither: so that the command line answers at once, and training runs where
    only torch is installed.
    """
    code = f"""import importlib, sys
for name in {names}:
    importlib.import_module(name)
    loaded = [m for m in {unwanted} if m in sys.modules]
    if loaded: sys.exit(f"importing {{name}} loads {{loaded}}")"""
    command(sys.executable, "-c", code)
