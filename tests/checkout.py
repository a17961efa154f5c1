"""The checkout that is tested: where it is, what belongs to it, running programs in it; and folders
that are filled once for all tests.
"""

import os
import subprocess
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parent.parent


def command(*args, cwd=ROOT, env=None, timeout=600):
    "Run a program; the test fails with what it printed when it does not exit with 0."
    done = subprocess.run(
        [str(a) for a in args],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    said = f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert done.returncode == 0, f"{' '.join(map(str, args))} exited {done.returncode}\n{said}"
    return done.stdout


def checkout_files():
    "Paths of the checkout's files that git tracks or would track, relative to it."
    listed = command("git", "ls-files", "-co", "--exclude-standard", "-z").split("\0")
    return sorted(Path(p) for p in set(listed) if p and (ROOT / p).is_file())


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
