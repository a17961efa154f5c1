"""Segments a second of the sampler against the raw read limit, a memory map and wfdb; memory over a
sparse tree of 2,000 recordings.

`python benchmarks/segment_sampler.py [--quick] [DATA_ROOT]` (default BIOSIG_DATA; simulated
recordings where Icentia11k is not there).
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import wfdb

from biosig_nb.data.catalog import data_root
from biosig_nb.data.databases.icentia11k_continuous_ecg import IcentiaSource
from biosig_nb.data.segments.ecg_segments import SegmentSampler, batches
from biosig_nb.data.segments.segment_plans import join_plans
from biosig_nb.data.simulate.icentia11k_continuous_ecg import SEGMENT, simulate_holter

SIZE, BATCH = 2048, 512


def sparse_tree(root, recordings=2000, each=50):
    """A tree of recordings of full length that take no space on disk: the files of one simulated
    recording, its signal a hole.
    """
    model = (
        simulate_holter(root / "model", n_patients=1, n_recordings=1, n_samples=SEGMENT)
        / "p00/p00000/p00000_s00"
    )
    atr, head = model.with_suffix(".atr").read_bytes(), model.with_suffix(".hea").read_text()
    folder = root / "icentia11k-continuous-ecg/1.0"
    for i in range(recordings // each):
        at = folder / f"p{i // 1000:02d}/p{i:05d}"
        at.mkdir(parents=True)
        for k in range(each):
            name = f"p{i:05d}_s{k:02d}"
            (at / f"{name}.hea").write_text(head.replace("p00000_s00", name))
            (at / f"{name}.atr").write_bytes(atr)
            with open(at / f"{name}.dat", "wb") as f:
                f.truncate(2 * SEGMENT)
    return folder


def rss():
    "Resident memory now (MB)."
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def growth(folder, segments=1000):
    """Segments read, seconds, and how much resident memory grew, over one pass through all
    recordings of a tree (MB).
    """
    before = top = rss()
    n, start = 0, time.perf_counter()
    sampler = SegmentSampler(IcentiaSource(folder), SIZE, per_patient=segments)
    for b in batches(sampler, BATCH):
        n += len(b.y)
        top = max(top, rss())
    return n, time.perf_counter() - start, top - before


def fresh_growth(folder, segments=1000):
    "The same in a process of its own, whose memory nothing has been freed into."
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import segment_sampler; "
        f"print(*segment_sampler.growth({str(folder)!r}, {segments}))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    return int(out[0]), float(out[1]), float(out[2])


def rate(read, n, repeats=3):
    "Best segments a second of several runs."
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        read()
        best = min(best, time.perf_counter() - start)
    return n / best


def rates(folder, n=4000):
    """Segments a second, by way of reading: the same places every time, the files in the system's
    cache.
    """
    source = IcentiaSource(folder)
    each = -(-n // len(source.patients))
    n = each * len(source.patients)
    sampler = SegmentSampler(source, SIZE, per_patient=each)
    plan = join_plans([sampler.plan(p) for p in sampler.patients()])
    plan = plan.take(np.random.default_rng(0).permutation(n))
    paths = [str(s.folder / s.name) for s in plan.recordings]
    todo = list(zip(plan.recording.tolist(), plan.start.tolist()))
    files = [os.open(p + ".dat", os.O_RDONLY) for p in paths]
    row, some = np.empty(SIZE, "<i2"), min(200, n)

    def raw():
        for k, at in todo:
            os.preadv(files[k], [row], 2 * at)

    def memory_map():
        for k, at in todo:
            np.memmap(paths[k] + ".dat", "<i2", "r")[at : at + SIZE].astype(np.float32)

    def by_wfdb():
        for k, at in todo[:some]:
            wfdb.rdrecord(paths[k], sampfrom=at, sampto=at + SIZE)

    out = {
        "raw read, files open, no conversion": rate(raw, n),
        "sampler, signal and beat labels": rate(lambda: [0 for _ in batches(sampler, BATCH)], n),
        "sampler, signal only": rate(
            lambda: [0 for _ in batches(SegmentSampler(source, SIZE, each, rule=None), BATCH)], n
        ),
        "a memory map for each segment": rate(memory_map, n),
        "wfdb.rdrecord for each segment": rate(by_wfdb, some, 1),
    }
    for f in files:
        os.close(f)
    return out


def main(argv=None):
    "The table, printed."
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("data_root", nargs="?", default="", help="default BIOSIG_DATA")
    a.add_argument("--quick", action="store_true", help="few recordings, to see that it runs")
    a = a.parse_args(argv)
    recordings, n_samples = (20, SEGMENT // 20) if a.quick else (2000, SEGMENT)
    with tempfile.TemporaryDirectory() as tmp:
        real = data_root(a.data_root) / "icentia11k-continuous-ecg/1.0"
        folder = (
            real
            if real.is_dir() and not a.quick
            else simulate_holter(
                Path(tmp) / "small", n_patients=4, n_recordings=3, n_samples=n_samples
            )
        )
        name = "Icentia11k" if folder == real else "simulated recordings"
        print(f"segments of {SIZE} samples, {name}")
        tree = sparse_tree(Path(tmp) / "sparse", recordings, min(50, recordings))
        n, seconds, grown = (growth if a.quick else fresh_growth)(tree, 20 if a.quick else 1000)
        print(
            f"one pass over {recordings:,} recordings: {n:,} segments in {seconds:.1f} s "
            f"({n / seconds:,.0f} segments/s), resident memory grew by {grown:.0f} MB"
        )
        found = rates(folder, 40 if a.quick else 4000)
        limit = next(iter(found.values()))
        for name, fps in found.items():
            print(f"{name:38} {fps:10,.0f} segments/s {100 * fps / limit:7.1f} % of the raw limit")


if __name__ == "__main__":
    main()
