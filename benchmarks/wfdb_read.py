"""Seconds to read each record once, ours against wfdb.rdrecord: `python benchmarks/wfdb_read.py
[--quick]
[DATA_ROOT]` (default BIOSIG_DATA).
"""

import argparse
import tempfile
import time

import wfdb

from biosig_nb.data.catalog import data_root
from biosig_nb.data.simulate.icentia11k_continuous_ecg import simulate_holter
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


def compare(root, folders, most=100):
    "A line for each folder of records."
    print(f"{'database':26} {'format':22} records   wfdb s   ours s  wfdb/ours")
    for folder, kind in folders.items():
        paths = [p.with_suffix("") for p in sorted((root / folder).rglob("*.hea"))[:most]]
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


def main(argv=None):
    "The table, printed."
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("data_root", nargs="?", default="", help="default BIOSIG_DATA")
    a.add_argument("--quick", action="store_true", help="simulated records, to see that it runs")
    a = a.parse_args(argv)
    if not a.quick:
        return compare(data_root(a.data_root), FOLDERS)
    with tempfile.TemporaryDirectory() as tmp:
        folder = simulate_holter(tmp, n_patients=1, n_recordings=2, n_samples=100_000)
        compare(folder.parent, {folder.name: "16, simulated"})


if __name__ == "__main__":
    main()
