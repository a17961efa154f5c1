"""How the package is built: which room imports which, reading order, sizes, types, words."""

import ast
import json
import re
import sys
from pathlib import Path

import pytest
from checkout import ROOT, checkout_files, command

FILES = checkout_files()
NOTEBOOKS = [p for p in FILES if p.suffix == ".ipynb" and p.parts[0] == "nbs"]
MODULES = [
    p for p in FILES if p.parts[0] == "biosig_nb" and p.suffix == ".py" and p.name != "_modidx.py"
]

# Which rooms a room may import. `errors`, `files` and `guards` lie under all of them.
BELOW = {
    "errors": set(),
    "files": set(),
    "guards": set(),
    "signals": set(),
    "models": set(),
    "evaluate": set(),
    "data": {"signals"},
}
BELOW["learn"] = {"data", "signals", "models", "evaluate"}
BELOW["weights"] = BELOW["learn"] | {"learn"}
BELOW["studies"] = BELOW["weights"] | {"weights"}
BELOW["runs"] = BELOW["studies"] | {"studies"}
ABOUT_WEIGHTS = ("weights_check", "weights_page", "shipped", "shipping")  # the files in weights/
for _name in ABOUT_WEIGHTS:
    BELOW[_name] = BELOW["runs"] | {"weights_check", "shipped"}
BELOW["api"] = BELOW["runs"] | {"runs"}
BELOW["cli"] = BELOW["runs"] | {"runs", "weights_check", "weights_page", "shipping"}

# The same within a room that has rooms of its own; "" are the modules that stand in none of them.
WITHIN = {
    "data": {
        "": set(),
        "simulate": {""},
        "segments": {""},
        "databases": {"", "segments"},
        "formats": {""},
        "own": {"", "segments", "databases", "formats"},
        "downloads": {""},
    },
    "evaluate": {
        "kernels": set(),
        "": {"kernels"},
        "inference": {"", "kernels"},
        "clinical": {"", "kernels", "inference"},
        "transfer": {"", "kernels", "inference"},
        "show": {"", "kernels", "inference"},
    },
}
HEAVY = {"torch", "lightning", "peft"}
NEVER = {room: HEAVY for room in ("data", "signals", "runs", "cli")}
NEVER |= {"files": HEAVY | {"pandas"}, "guards": HEAVY | {"wfdb"}, "learn": {"wfdb", "papermill"}}


def room_of(path):
    name = path.parts[1].removesuffix(".py")
    return next((room for room in ("cli", "api") if name.startswith(f"{room}_")), name)


def inner_room(names):
    "The room within a room of a module, from the parts of its name behind the room's."
    return names[0] if len(names) > 1 else ""


def imports(source, package):
    "Names of all modules that a module imports anywhere; `package` resolves relative ones."
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = parts[: len(parts) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            yield stem
            yield from (f"{stem}.{a.name}" for a in node.names)
            if any(a.name == "*" for a in node.names):
                yield "*"


def breaches(path, source):
    "Rules that the imports of a module break."
    room, package = room_of(path), ".".join(path.parent.parts)
    here = inner_room(path.with_suffix("").parts[2:])
    modules = {".".join(p.with_suffix("").parts) for p in MODULES}
    for name in imports(source, package):
        if name == "*":
            yield "imports everything from a module (import *)"
        if name.split(".")[0] in NEVER.get(room, ()):
            yield f"{room} imports {name}"
        parts = name.split(".")
        if parts[0] != "biosig_nb" or len(parts) < 2:
            continue
        other = room_of(Path(*parts[:2]))
        if other not in BELOW[room] | {room, "errors", "files", "guards", "__version__"}:
            yield f"{room} imports {other}"
        if other == room and room in WITHIN and name in modules:
            there = inner_room(parts[2:])
            if there != here and there not in WITHIN[room][here]:
                yield f"{room}/{here} imports {room}/{there}"


def test_all_inner_rooms_are_known():
    for room, rooms in WITHIN.items():
        found = {
            inner_room(p.with_suffix("").parts[2:])
            for p in MODULES
            if room_of(p) == room and p.name != "__init__.py"
        }
        assert found == set(rooms), room


@pytest.mark.parametrize(
    "path", [p for p in MODULES if p != Path("biosig_nb/__init__.py")], ids=str
)
def test_imports_run_downward(path):
    assert not list(breaches(path, (ROOT / path).read_text(encoding="utf-8"))), path


BREACHES = [
    ("data/x.py", "import torch"),
    ("data/x.py", "def f():\n    from torch.nn import Linear"),
    ("learn/x.py", "import papermill as pm"),
    ("evaluate/x.py", "from ..signals.beats import rr"),
    ("models/x.py", "from biosig_nb.data import cohort"),
    ("learn/x.py", "from ..studies import mitbih_ptb"),
    ("runs/x.py", "from ..cli import app"),
    ("files.py", "from .data import cohort"),
    ("files.py", "import pandas as pd"),
    ("signals/x.py", "from numpy import *"),
    ("data/x.py", "from .. import runs"),
    ("data/segments/x.py", "from ..databases.mitdb import mitdb_beats"),
    ("data/cohort.py", "from .segments.beats import cut_record"),
    ("data/formats/x.py", "from ..own.deliveries import own_folder"),
    ("data/downloads/x.py", "from ..databases.mitdb import mitdb_beats"),
    ("evaluate/kernels/x.py", "from ..metrics import auroc"),
    ("evaluate/inference/x.py", "from ..clinical import calibration"),
]
ALLOWED = [
    (
        "data/x.py",
        "from ..signals.beats import rr\nfrom .cohort import Cohort\nfrom ..errors import nearest",
    ),
    ("data/own/x.py", "from ..databases.mitdb import mitdb_beats"),
    ("learn/x.py", "import torch\nfrom ..evaluate.metrics import auroc"),
    ("evaluate/x.py", "from ..files import whole_file"),
    ("evaluate/clinical/x.py", "from ..inference.bootstrap import metric_table"),
    ("cli.py", "from .runs.execute import execute_run"),
]


@pytest.mark.parametrize("path, source", BREACHES)
def test_a_breach_is_noticed(path, source):
    assert list(breaches(Path("biosig_nb", path), source))


@pytest.mark.parametrize("path, source", ALLOWED)
def test_downward_imports_pass(path, source):
    assert not list(breaches(Path("biosig_nb", path), source))


def modules(*rooms):
    "Import names of the rooms' modules, in order."
    return sorted(
        ".".join(p.with_suffix("").parts).removesuffix(".__init__")
        for p in MODULES
        if room_of(p) in rooms
    )


LIGHT_STUDIES = (
    ".folders",
    ".study_yaml",
    ".conditions",
    ".former_names",
    ".parameters_cell",
    ".parameters",
)
LIGHT = [
    "biosig_nb",
    *modules("errors", "files", "data", "signals", "runs", "cli"),
    *(n for n in modules("studies") if n.endswith(LIGHT_STUDIES)),
]


@pytest.mark.parametrize(
    "names, unwanted",
    [
        (LIGHT, [*HEAVY, "transformers"]),
        (modules("learn"), ["wfdb", "papermill"]),
        (modules("errors", "files"), ["torch", "pandas"]),
    ],
    ids=["no torch below learn", "no wfdb in learn", "files are light"],
)
def test_import_loads_nothing_unwanted(names, unwanted):
    """Through others neither.

    The command line answers at once, and training runs where only torch is installed.
    """
    code = f"""import importlib, sys
for name in {names}:
    importlib.import_module(name)
    loaded = [m for m in {unwanted} if m in sys.modules]
    if loaded: sys.exit(f"importing {{name}} loads {{loaded}}")"""
    command(sys.executable, "-c", code)


def cells_of(path):
    return json.loads((ROOT / path).read_text(encoding="utf-8"))["cells"]


def exported(path):
    "Source of the cells that a notebook exports."
    cells = ["".join(c["source"]) for c in cells_of(path) if c["cell_type"] == "code"]
    return "\n".join(c for c in cells if re.search(r"^#\| *export", c, re.M))


def module_name(path):
    "The module that a notebook exports; empty where it exports none."
    source = "\n".join("".join(c["source"]) for c in cells_of(path) if c["cell_type"] == "code")
    found = re.search(r"^#\| default_exp ([\w.]+)", source, re.M)
    return found[1] if found else ""


CHAPTERS = {module_name(p): p for p in NOTEBOOKS if module_name(p)}


@pytest.mark.parametrize("name", CHAPTERS)
def test_no_chapter_imports_from_a_later_one_of_its_room(name):
    """Numbers give the reading order.

    A study's folder is exempt: its chapters are named by what they are (study, report).
    """
    path = CHAPTERS[name]
    if not re.match(r"\d\d_", path.name):
        pytest.skip("a chapter of a study's folder")
    used = re.findall(r"from biosig_nb\.([\w.]+) import", exported(path))
    later = [
        u
        for u in used
        if u in CHAPTERS and CHAPTERS[u].parent == path.parent and CHAPTERS[u] > path
    ]
    assert not later


def test_a_chapter_lies_where_its_module_does():
    for name, path in CHAPTERS.items():
        if re.match(r"\d\d_", path.name):
            expected = ("nbs", *name.split(".")[:-1], name.split(".")[-1])
            assert (*path.parts[:-1], path.stem[3:]) == expected, path


def long_functions(source, limit=40):
    "Functions of more lines than the limit."
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            n = node.end_lineno - node.lineno + 1
            if n > limit:
                yield f"{node.name}: {n} lines"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_modules_and_functions_are_short(path):
    source = (ROOT / path).read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 300
    assert not list(long_functions(source))


def untyped(source):
    "Public functions and methods that lack a type somewhere."
    for node in ast.parse(source).body:
        inner = node.body if isinstance(node, ast.ClassDef) else [node]
        if getattr(node, "name", "_").startswith("_"):
            continue
        for f in inner:
            if not isinstance(f, ast.FunctionDef) or f.name.startswith("_"):
                continue
            given = [*f.args.posonlyargs, *f.args.args, *f.args.kwonlyargs]
            bare = [a.arg for a in given if a.annotation is None and a.arg not in ("self", "cls")]
            if bare or f.returns is None:
                yield f"{f.name}: {', '.join(bare) or 'return'}"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_public_functions_are_typed(path):
    assert not list(untyped((ROOT / path).read_text(encoding="utf-8")))


# Words that have no right sense here. Former names of parameters (`was`, `renamed`) and of roles,
# the history in CHANGELOG.md, and the list itself are exempt.
BANNED = (
    r"schooling|taught|taught_by|rivals?|opponents?|impatience|copier|copying|upside[ _]down"
    r"|stand[-_]ins?|judged on|ask_again|hangs? on"
)
EXEMPT = (
    r"was: \[[^]]*\]",
    r"renamed: \{[^}]*\}",
    r"FORMER_ROLES = .*",
    r"(?m)^.*# former name.*$",
)


def banned_words(text):
    "Words of the list in a text, what is exempt left out."
    for pattern in EXEMPT:
        text = re.sub(pattern, "", text)
    return [m[0] for m in re.finditer(rf"(?i)(?<![A-Za-z])({BANNED})(?![a-z])", text)]


def spoken(path):
    "What a file says: all of it, of a notebook the cells' sources."
    if path.suffix == ".ipynb":
        return "\n".join("".join(c["source"]) for c in cells_of(path))
    return (ROOT / path).read_text(encoding="utf-8")


WRITTEN = [
    p
    for p in FILES
    if p.suffix in (".py", ".ipynb", ".yaml", ".md", ".txt", ".toml", ".cff")
    and p.name not in ("CHANGELOG.md", "test_house.py")
]


@pytest.mark.parametrize("path", WRITTEN, ids=str)
def test_no_banned_word(path):
    assert not banned_words(spoken(path))


@pytest.mark.parametrize(
    "text", ["two rivals", "a stand-in", "it hangs on seed", "n_opponent", "Rival"]
)
def test_a_banned_word_is_noticed(text):
    assert banned_words(text)


@pytest.mark.parametrize(
    "text", ["arrival", "was: [schoolings]", "seed: a change", "understand it"]
)
def test_a_word_that_only_looks_like_one_passes(text):
    assert not banned_words(text)
