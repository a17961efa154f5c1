"""Seconds to read each record once, ours against wfdb.rdrecord: `python benchmarks/wfdb_read.py
[DATA_ROOT]` (default BIOSIG_DATA).
"""

import sys
import time

import wfdb

from biosig_nb.data.catalog import data_root
from biosig_nb.data.wfdb_files import read_record

FOLDERS = {
    "mitdb/1.0.0": "212",
    "ptbdb/1.0.0": "16, 12-15 leads",
    "ptb-xl/1.0.3/records100": "16, 12 leads, short",
    "challenge-2017/1.0.0": "16+24 .mat",
}


def seconds(read, paths, repeats=3):
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        for p in paths:
            read(p)
        best = min(best, time.perf_counter() - start)
    return best


if __name__ == "__main__":
    root = data_root(sys.argv[1] if len(sys.argv) > 1 else "")
    print(f"{'database':26} {'format':22} records   wfdb s   ours s  wfdb/ours")
    for folder, kind in FOLDERS.items():
        paths = [p.with_suffix("") for p in sorted((root / folder).rglob("*.hea"))[:100]]
        if not paths:
            print(f"{folder:26} not under the data root")
            continue
        theirs, ours = (
            seconds(lambda p: wfdb.rdrecord(str(p)), paths),
            seconds(lambda p: read_record(p.parent, p.name), paths),
        )
        print(
            f"{folder:26} {kind:22} {len(paths):7} {theirs:8.3f} {ours:8.3f} {theirs / ours:10.1f}"
        )
