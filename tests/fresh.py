"""New processes that start quickly: copies of one that has imported the libraries and done nothing.

`biosig` runs the command line in such a process, as a program: its own folder, environment,
output and exit code. `python` does the same with a program given as text.
"""

import gc
import multiprocessing
import os
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

# one server of processes for each pytest worker, whichever test asks first
FRESH = multiprocessing.get_context("forkserver")
FRESH.set_forkserver_preload(
    [
        "pytest",
        "nbdev.test",
        "fastcore.test",
        "IPython.display",
        "IPython.core.magics.execution",
        "matplotlib_inline.backend_inline",
        "lightning",
        "lightning.pytorch.callbacks",
        "peft",
        "torch",
        "safetensors.torch",
        "pandas",
        "pyarrow.parquet",
        "scipy.io",
        "scipy.ndimage",
        "scipy.optimize",
        "scipy.signal",
        "scipy.stats",
        "sklearn.datasets",
        "sklearn.ensemble",
        "sklearn.impute",
        "sklearn.isotonic",
        "sklearn.linear_model",
        "sklearn.metrics",
        "sklearn.model_selection",
        "sklearn.pipeline",
        "sklearn.preprocessing",
        "statsmodels.api",
        "matplotlib.pyplot",
        "matplotlib.backends.backend_agg",
        "PIL.ImageDraw",
        "wfdb",
        "bs4",
        "nbformat",
        "nbclient",
        "papermill",
        "typer",
        "rich.console",
        "nbconvert",
    ]
)


class Done(NamedTuple):
    "What a program left behind."

    returncode: int
    stdout: str
    stderr: str


def _begin(folder, cwd, env):
    "In the new process: its folder, its environment, its output."
    gc.freeze()  # collections need not look at the libraries, which would also copy their memory
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT), number)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    tempfile.tempdir = None
    further = [p for p in env.get("PYTHONPATH", "").split(os.pathsep) if p and p not in sys.path]
    sys.path[:0] = further


def _main(folder, cwd, env, args):
    "In the new process: the command line."
    _begin(folder, cwd, env)
    sys.argv = ["biosig-nb", *args]
    from biosig_nb.cli import main

    main(list(args))


def _code(folder, cwd, env, args):
    "In the new process: a program given as text."
    _begin(folder, cwd, env)
    code, *sys.argv[1:] = args
    exec(code, {"__name__": "__main__"})


def _ended(target, args, cwd, env, timeout):
    "What a new process left behind."
    with tempfile.TemporaryDirectory() as name:
        folder, every = Path(name), {**os.environ, **(env or {})}
        where = str(cwd) if cwd else os.getcwd()
        process = FRESH.Process(target=target, args=(folder, where, every, tuple(map(str, args))))
        process.start()
        process.join(timeout)
        if process.is_alive():
            process.kill()
            process.join()
        said = [(folder / n).read_text(errors="replace") for n in ("out", "err")]
        return Done(process.exitcode, *said)


def biosig(*args, cwd=None, env=None, timeout=600):
    "`biosig-nb ARGS` to its end: exit code, standard output and standard error."
    return _ended(_main, args, cwd, env, timeout)


def python(code, *args, cwd=None, env=None, timeout=600):
    "Standard output of `python -c CODE ARGS`, which must succeed."
    done = _ended(_code, (code, *args), cwd, env, timeout)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
