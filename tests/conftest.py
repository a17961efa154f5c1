"""What several tests share: one thread a process, an installed wheel, and one smoke run made from it."""

import os
import shutil
import sys

import pytest
from checkout import ROOT, checkout_files, command
from filelock import FileLock

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")


def once(tmp_path_factory, name, make):
    """A folder that `make(folder)` fills once for all pytest-xdist workers of a session.

    A failure is remembered, not repeated.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / name
    done, failed = folder / ".done", folder / ".failed"
    with FileLock(f"{folder}.lock"):
        if failed.exists():
            pytest.fail(failed.read_text(), pytrace=False)
        if not done.exists():
            folder.mkdir()
            try:
                make(folder)
            except BaseException as e:
                failed.write_text(f"{name}: {e}")
                raise
            done.touch()
    return folder


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    "Folder with the package as pip installs it from its wheel, away from the checkout."

    def make(folder):
        for path in (
            checkout_files()
        ):  # a copy, so that building leaves nothing behind here, and finds nothing stale
            (folder / "source" / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, folder / "source" / path, follow_symlinks=False)
        pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
        command(
            *pip,
            "wheel",
            "--no-deps",
            "--no-build-isolation",
            "-w",
            folder,
            folder / "source",
            cwd=folder,
        )
        command(
            *pip,
            "install",
            "--no-deps",
            "--target",
            folder / "site",
            *folder.glob("*.whl"),
            cwd=folder,
        )

    return once(tmp_path_factory, "wheel", make)


@pytest.fixture(scope="session")
def smoke_site(tmp_path_factory, installed):
    """Folder reports/ after one smoke run of the installed package on simulated data, started
    outside the checkout.
    """

    def make(folder):
        env = {"PYTHONPATH": str(installed / "site"), "BIOSIG_DATA": ""}
        command(
            sys.executable,
            installed / "site" / "bin" / "biosig-nb",
            "run",
            "mitbih_ptb",
            "--preset",
            "smoke",
            "--out",
            folder / "reports" / "runs",
            cwd=folder,
            env=env,
        )
        command(
            sys.executable,
            installed / "site" / "bin" / "biosig-nb",
            "report",
            "--out",
            folder / "reports" / "runs",
            cwd=folder,
            env=env,
        )

    return once(tmp_path_factory, "smoke", make) / "reports"
