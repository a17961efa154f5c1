"""What several tests share: one thread a process, an installed wheel, one smoke run from it."""

import gc
import os
import shutil
import sys

import pytest
from checkout import ROOT, checkout_files, command, once

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")

gc.disable()  # while libraries are imported: a fifth of the time of that is collecting nothing


def pytest_collection_finish(session):
    "From here on memory is collected again, but what was imported is left alone."
    gc.freeze()
    gc.enable()


LONG = ROOT / "tests" / "long.txt"  # tests of more than ten seconds; written by .ci/long.py
WHOLE = 2500  # so many tests are collected only where all of them are


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    "The tests in long.txt are marked slow; in a whole collection each line must be a test."
    long = set(LONG.read_text(encoding="utf-8").split("\n")) - {""}
    for item in items:
        if item.nodeid in long:
            item.add_marker("slow")
    files = {item.nodeid.split("::")[0] for item in items}
    gone = {name for name in long if name.split("::")[0] in files} - {i.nodeid for i in items}
    if len(items) > WHOLE and gone:
        raise pytest.UsageError(f"tests/long.txt names what is no test: {sorted(gone)[:3]}")


# A run that has all parts of a report and trains as little as it can.
SMALL = {
    "arms": ["scratch", "full"],
    "models": ["mlp"],
    "n_random_features": 84,
    "n_resamples": 100,
}


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    "Folder with the package as pip installs it from its wheel, away from the checkout."

    def make(folder):
        source = folder / "source"  # a copy: building leaves nothing behind here
        links = [p.relative_to(ROOT) for p in (ROOT / "biosig_nb").rglob("*") if p.is_symlink()]
        for path in (*checkout_files(), *links):
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, source / path, follow_symlinks=False)
        pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
        build = ("wheel", "--no-deps", "--no-build-isolation", "-w", folder, source)
        command(*pip, *build, cwd=folder)
        wheels = folder.glob("*.whl")
        command(*pip, "install", "--no-deps", "--target", folder / "site", *wheels, cwd=folder)

    return once(tmp_path_factory, "wheel", make)


@pytest.fixture(scope="session")
def small():
    "Parameters of the small run that `smoke_site` holds."
    return dict(SMALL)


@pytest.fixture(scope="session")
def smoke_site(tmp_path_factory, installed, small):
    "Folder reports/ after one small run of the installed package, started outside the checkout."

    def make(folder):
        env = {"PYTHONPATH": str(installed / "site"), "BIOSIG_DATA": ""}
        program = (sys.executable, installed / "site" / "bin" / "biosig-nb")
        out = ("--out", folder / "reports" / "runs")
        text = {k: ",".join(v) if isinstance(v, list) else v for k, v in small.items()}
        given = [word for k, v in text.items() for word in ("-p", f"{k}={v}")]
        run = ("run", "mitbih_ptb", "--preset", "smoke", *given, *out)
        command(*program, *run, cwd=folder, env=env)
        command(*program, "report", *out, cwd=folder, env=env)

    return once(tmp_path_factory, "smoke", make) / "reports"
