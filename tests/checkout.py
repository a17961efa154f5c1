"""The checkout that is tested: where it is, what belongs to it, and running programs in it."""

import os
import subprocess
from pathlib import Path

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
