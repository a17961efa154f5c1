"""Throughput of `data get` against curl on the same files, over links of several speeds:
`python benchmarks/download.py [--quick] [DATA_ROOT]` (default BIOSIG_DATA; else made-up files).

The server is that of tests/data/bad_server.py, in a process of its own on the loopback interface.
`data get` reads the list and the listings, downloads, compares checksums, forces files to the disk
and renames them; curl only downloads. Both use four connections, in turn; the best of five counts.
A third column is curl followed by `sha256sum -c`, which is the same work but for the forcing.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "data"))

from bad_server import made_up, sums_of

from biosig_nb.data.catalog import get_database
from biosig_nb.data.downloads.network import Network
from biosig_nb.data.downloads.obtain import obtain

SERVE = """import sys, time
sys.path.insert(0, sys.argv[1])
from bad_server import Server
with Server(sys.argv[2], rate=float(sys.argv[3])) as server:
    print(server.url, flush=True)
    sys.stdin.read()
"""
LINKS = {"20 Mbit/s": 2.5e6, "100 Mbit/s": 12.5e6, "1 Gbit/s": 125e6, "loopback, no limit": 0}
REPEATS, JOBS = 5, 4


def serving(root, rate):
    "A process with the server, and its address."
    args = (sys.executable, "-c", SERVE, ROOT / "tests" / "data", root, rate)
    pipe = subprocess.PIPE
    process = subprocess.Popen([str(a) for a in args], stdin=pipe, stdout=pipe, text=True)
    return process, process.stdout.readline().strip()


def best(ways, folder, repeats):
    "Seconds of the quickest of several runs of each way, in turn, into an empty folder."
    times = [[] for _ in ways]
    for _ in range(repeats):
        for run, found in zip(ways, times):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            start = time.perf_counter()
            run(folder)
            found.append(time.perf_counter() - start)
    return [min(found) for found in times]


def with_curl(url, names, check=""):
    "Download by curl, and compare the checksums where a list is given."

    def run(folder):
        lines = (f'url = "{url}{name}"\noutput = "{folder}/{name}"\n' for name in names)
        (folder / "config").write_text("".join(lines))
        given = ("-s", "-Z", "--parallel-max", str(JOBS), "--create-dirs", "-K", folder / "config")
        subprocess.run(["curl", *map(str, given)], check=True, stderr=subprocess.DEVNULL)
        if check:
            program = ["sha256sum", "--quiet", "-c", "-"]
            subprocess.run(program, cwd=folder, input=check, text=True, check=True)

    return run


def compare(root, slug, links=LINKS, repeats=REPEATS):
    "Rows: database, link, MB, MB/s of curl, of curl with checksums, of data get, ratios."
    database = get_database(slug)
    folder = Path(root) / database.folder
    sums = sums_of(folder)
    names = [line.split(" ", 1)[1] for line in sums.splitlines()]
    check = "".join(
        f"{line.split(' ', 1)[0]}  {line.split(' ', 1)[1]}\n" for line in sums.splitlines()
    )
    size = sum((folder / name).stat().st_size for name in names) / 1e6
    for link, rate in links.items():
        process, url = serving(root, rate)
        try:
            with tempfile.TemporaryDirectory() as temporary:
                at = Path(temporary) / "out"
                there = f"{url}/{database.folder}/"

                def get(into, url=url):
                    _, out = obtain(database, into, Network(jobs=JOBS), mirror=url)
                    assert not out.failed and len(out.fetched) == len(names)

                ways = (with_curl(there, names), with_curl(there, names, check), get)
                curl, checked, ours = best(ways, at, repeats)
        finally:
            process.stdin.close()
            process.wait()
        yield slug, len(names), link, size, size / curl, size / checked, size / ours, curl / ours


def main(argv=None):
    "The table, printed."
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("data_root", nargs="?", default=os.environ.get("BIOSIG_DATA", ""))
    a.add_argument("--quick", action="store_true", help="made-up files once, to see that it runs")
    a = a.parse_args(argv)
    given = "" if a.quick else a.data_root
    how = ({"loopback, no limit": 0}, 1) if a.quick else (LINKS, REPEATS)
    with tempfile.TemporaryDirectory() as made:
        root, slugs = Path(given or made), ("mitdb", "ctu-uhb-ctgdb", "ptb-xl")
        present = [s for s in slugs if (root / get_database(s).folder).is_dir()]
        if not present:
            made_up(made, records=4 if a.quick else 40, size=10_000 if a.quick else 1_000_000)
            root, present = Path(made), ["ctu-uhb-ctgdb"]
        print("database       files  link                  MB   curl  +sums   data get  of curl")
        for slug in present:
            for name, n, link, size, curl, checked, ours, share in compare(root, slug, *how):
                print(
                    f"{name:14} {n:5}  {link:18} {size:5.1f} {curl:6.1f} {checked:6.1f} "
                    f"{ours:6.1f} MB/s {share:6.2f}"
                )


if __name__ == "__main__":
    main()
