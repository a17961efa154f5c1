"""Execute notebooks again, in place, each in a kernel of its own, and clean them. Without
arguments: all of nbs/.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbclient
import nbformat

ROOT = Path(__file__).resolve().parent.parent
os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")


def left_out(cell, slow: bool) -> bool:
    "Cells that keep their output: `#| eval: false`, and `#| slow` where these are not asked for."
    flags = re.findall(r"^#\|\s*(.+?)\s*$", cell.source, re.M) if cell.cell_type == "code" else []
    return "eval: false" in flags or ("slow" in flags and not slow)


def execute(path: Path, slow: bool, timeout: float) -> tuple[Path, float, str]:
    "Run one notebook, write it back and clean it; the last value is empty or the error."
    started, notebook, error = time.time(), nbformat.read(path, 4), ""
    cells = notebook.cells
    notebook.cells = [c for c in cells if not left_out(c, slow)]
    client = nbclient.NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        extra_arguments=["--HistoryManager.enabled=False", "--log-level=ERROR"],
        shutdown_kernel="immediate",
    )
    try:
        client.execute()
    except nbclient.exceptions.CellExecutionError as e:
        error = re.sub(r"\x1b\[[0-9;]*m", "", str(e))[-2000:]
    if not error:  # cells are changed in place, so the full list carries the new outputs
        notebook.cells = cells
        nbformat.write(notebook, path)
        subprocess.run(
            [Path(sys.executable).with_name("nbdev_clean"), "--fname", path], cwd=ROOT, check=True
        )
    return path, time.time() - started, error


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "notebooks", nargs="*", type=Path, help="which ones (default: all under nbs/)"
    )
    parser.add_argument(
        "--no-slow", action="store_true", help="keep the outputs of `#| slow` cells"
    )
    parser.add_argument("--jobs", type=int, default=2, help="notebooks at a time")
    parser.add_argument("--timeout", type=float, default=3600, help="seconds a cell may take")
    args = parser.parse_args()
    paths = [p.resolve() for p in args.notebooks] or [
        p
        for p in sorted((ROOT / "nbs").rglob("*.ipynb"))
        if not any(q.startswith((".", "_")) for q in p.relative_to(ROOT).parts)
    ]
    with ThreadPoolExecutor(args.jobs) as pool:
        done = pool.map(lambda p: execute(p, not args.no_slow, args.timeout), paths)
        failed = 0
        for path, seconds, error in done:
            failed += bool(error)
            status = "FAILED" if error else "ok    "
            line = f"{status} {seconds:6.1f} s  {path.relative_to(ROOT)}"
            print(f"{line}\n{error}".rstrip(), flush=True)
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
