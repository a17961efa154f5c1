"""Files with damaged bytes: each is refused by name, or read as an independent library reads it."""

import csv
import hashlib
import io
import json
import multiprocessing
import os
import re
import resource
from collections import Counter

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import scipy.io
import torch
import wfdb
import yaml
from damage import flip, limited, replace
from PIL import Image
from safetensors.numpy import load as load_safetensors

from biosig_nb.data.cached_cohorts import open_cohort, write_cohort
from biosig_nb.data.cohort import Cohort
from biosig_nb.data.databases.hc18 import hc18_sweeps
from biosig_nb.data.databases.ptb_xl_tables import ptbxl_table
from biosig_nb.data.formats.files import read_recording
from biosig_nb.data.mat_files import read_matrix
from biosig_nb.data.own.content import arranged
from biosig_nb.data.own.deliveries import DELIVERIES as CTG
from biosig_nb.data.own.deliveries import own_folder
from biosig_nb.data.own.settings import Settings
from biosig_nb.data.own.sweeps import read_scans
from biosig_nb.data.wfdb_files import read_record
from biosig_nb.errors import BiosigError
from biosig_nb.evaluate.predictions import load_predictions, save_predictions, simulate_predictions
from biosig_nb.guards.pictures import picture_array
from biosig_nb.guards.strict_yaml import read_yaml
from biosig_nb.learn.weights import load_body, save_body
from biosig_nb.runs.grid import read_grid

MEGABYTES = 1000  # of memory, for one file


class NoReference(Exception):
    "The library cannot read the file, or does not end."


# Mutations of bytes; texts get characters that mean something to their format.
SIGNS = b"0123456789.,-+;:/#()[]{}\"'\n\r\t \0e~&*!|%@\xff\xc3\xbc"


def sign(raw, at, rng):
    raw[at] = int(rng.choice(list(SIGNS)))


def insert(raw, at, rng):
    raw[at:at] = bytes(rng.choice(list(SIGNS), int(rng.integers(1, 4))).tolist())


def remove(raw, at, rng):
    del raw[at : at + int(rng.integers(1, 9))]


def repeat(raw, at, rng):
    raw[at:at] = raw[at : at + int(rng.integers(1, 40))]


def cut(raw, at, rng):
    del raw[at:]


def digit(raw, at, rng):
    "A digit becomes another one, if there is any from here on."
    at = next((k for k in range(at, len(raw)) if 48 <= raw[k] < 58), at)
    raw[at] = int(rng.integers(48, 58))


def digits(raw, at, rng):
    raw[at:at] = b"9" * int(rng.choice([3, 12, 25, 5000]))


BINARY = (flip, replace, remove, repeat, cut)
TEXT = (digit, digit, digit, flip, sign, sign, insert, insert, remove, repeat, cut, digits)


def mutant(raw, rng, mutations):
    "The bytes of a file with one fault or two."
    raw = bytearray(raw)
    for _ in range(int(rng.integers(1, 3))):
        if len(raw) > 1:
            mutations[int(rng.integers(len(mutations)))](raw, int(rng.integers(len(raw))), rng)
    return bytes(raw)


# WFDB: a header, and signals in three formats
ODD_UNIT = re.compile(rb"/[\w^\-?%/]*[^\w^\-?%/\s]")  # wfdb ends a unit within a field here


def make_record(folder, rng):
    fmt = str(rng.choice(["16", "212", "80"]))
    d = rng.integers(-100, 100, (40, 2))
    how = dict(fmt=[fmt] * 2, adc_gain=[200.5, 100], baseline=[0, 12], write_dir=str(folder))
    wfdb.wrsamp("r", 250, ["mV", "uV"], ["I", "V"], d_signal=d, comments=["age: 60"], **how)


def record(folder):
    r = read_record(folder, "r")
    return [r.signals, r.fs, list(r.channels), list(r.units)]


def record_by_wfdb(folder):
    if ODD_UNIT.search((folder / "r.hea").read_bytes()):
        raise NoReference
    r = wfdb.rdrecord(str(folder / "r"))
    names = [name or f"ch{i}" for i, name in enumerate(r.sig_name)]
    return [r.p_signal.T, r.fs, names, list(r.units)]


# MATLAB: SciPy may crash, so that it reads in a process of its own
FORMS = ({"format": "4"}, {"format": "5"}, {"format": "5", "do_compression": True})


def make_matrix(folder, rng):
    d = rng.integers(-900, 900, (2, 30)).astype(np.int16)
    scipy.io.savemat(folder / "r.mat", {"val": d}, **FORMS[int(rng.integers(3))])


def matrix(folder):
    m = read_matrix(folder / "r.mat", "record r", 2, 30)
    return [m.values.T if m.turned else m.values]


def loadmat(connection):
    "Reads files for another process until it has no more."
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    while path := connection.recv():
        try:
            connection.send(scipy.io.loadmat(path)["val"])
        except Exception as e:
            connection.send(type(e).__name__)


class Child:
    "SciPy in a process that may crash; it is started again then."

    process = None

    def read(self, path):
        if self.process is None:
            ours, theirs = multiprocessing.Pipe()
            self.connection = ours
            self.process = multiprocessing.Process(target=loadmat, args=(theirs,), daemon=True)
            self.process.start()
            theirs.close()
        try:
            self.connection.send(str(path))
            if self.connection.poll(20):
                found = self.connection.recv()
                if isinstance(found, np.ndarray):
                    return found
                raise NoReference
        except (EOFError, OSError):
            pass
        self.close()
        raise NoReference

    def close(self):
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.process = None


CHILD = Child()


@pytest.fixture(scope="module", autouse=True)
def no_child_is_left():
    yield
    CHILD.close()


def matrix_by_scipy(folder):
    return [CHILD.read(folder / "r.mat")]


# csv
TRACE = "time,fhr,uc\n" + "".join(f"{k / 4:g},{140 + k % 7},{10 + k % 5}.5\n" for k in range(60))


def make_trace(folder, rng):
    text = TRACE if rng.random() < 0.5 else TRACE.replace(",", ";").replace(".", ",")
    (folder / "r.csv").write_text(text)


def trace(folder):
    rec = arranged(read_recording(folder / "r.csv", "r.csv"), CTG, Settings(), "r.csv")
    return list(rec.signals)


def rows_by_csv(path):
    "Rows of a plain table by the csv module: each line has all cells."
    text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    separator = max(",;\t", key=text.partition("\n")[0].count)
    how = dict(delimiter=separator, strict=True, skipinitialspace=True)
    rows = list(csv.reader(io.StringIO(text.rstrip(" \n")), **how))
    if rows and all(len(row) == len(rows[0]) + 1 and not row[-1].strip() for row in rows[1:]):
        rows = [rows[0], *(row[:-1] for row in rows[1:])]
    names = [name.strip().lower() for name in rows[0]]
    assert {len(row) for row in rows} == {len(names)}, "a line with another number of cells"
    return separator, pd.DataFrame(rows[1:], columns=names)


def as_number(cell, comma):
    cell = cell.strip().replace(",", ".") if comma else cell.strip()
    return float(cell) if cell.lower() not in ("", "na") else np.nan


def trace_by_csv(folder):
    separator, t = rows_by_csv(folder / "r.csv")
    return [np.array([as_number(v, separator != ",") for v in t[c]]) for c in ("fhr", "uc")]


DELIVERIES = "record,label,group,fs\na.csv,0,m1,4\nb.csv,1,m2,4\nc.csv,0,m3,4\n"


def make_deliveries(folder, rng):
    (folder / "records.csv").write_text(DELIVERIES)
    for k, name in enumerate("abc"):
        fhr = (140 + np.cumsum(rng.normal(0, 0.3, 240))).round(1)
        lines = [f"{i / 4:g},{f},{20 + (i * k) % 9}" for i, f in enumerate(fhr)]
        (folder / f"{name}.csv").write_text("\n".join(["time,fhr,uc", *lines]))


def deliveries(folder):
    c = own_folder(folder, minutes=1, fs=1)
    assert np.isfinite(c.signals).any()
    return [c.table.record.tolist(), c.labels.tolist(), c.groups.tolist()]


def deliveries_by_csv(folder):
    _, t = rows_by_csv(folder / "records.csv")
    label = [int(float(v)) for v in t.label]
    record = t.record.str.strip()
    groups = t.group.str.split().str.join(" ") if "group" in t else record
    return [record.tolist(), label, [f"own/{name}" for name in groups]]


def make_scans(folder, rng):
    rows = ["scan,frame,label,patient"]
    for scan in ("s1", "s2"):
        (folder / scan).mkdir(exist_ok=True)
        for k in (1, 2):
            Image.fromarray(rng.integers(0, 255, (9, 8), np.uint8)).save(folder / scan / f"{k}.png")
            rows.append(f"{scan},{k},{k % 2},p{scan}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    (folder / "source.json").write_text('{"database": "ward", "version": "1", "fps": 25}')


def labels(folder):
    t = read_scans(folder).table
    return [t.scan.tolist(), t.frame.tolist(), t.label.tolist(), t.patient.tolist()]


def labels_by_csv(folder):
    _, t = rows_by_csv(folder / "labels.csv")
    t = t.apply(lambda c: c.str.strip())
    number = t.frame.str.removesuffix(".png").str.extract(r"(\d+)\D*$")[0].astype(int)
    t = t.assign(frame=number, label=t.label.astype(float).astype(int))
    t["patient"] = t.patient.str.split().str.join(" ") if "patient" in t else t.scan
    t["patient"] = t.patient.mask(t.patient == "", t.scan)
    t = t.sort_values(["scan", "frame"], kind="stable")
    return [t[c].tolist() for c in ("scan", "frame", "label", "patient")]


def source(folder):
    facts = read_scans(folder).provenance
    return [facts["database"], facts["version"], facts["fps"]]


def source_by_json(folder):
    facts = json.loads((folder / "source.json").read_bytes().decode("utf-8-sig"))
    default = {"database": folder.name, "version": "", "fps": 1.0} | facts
    return [default["database"], default["version"], float(default["fps"])]


PTBXL = """ecg_id,patient_id,age,sex,scp_codes,strat_fold,filename_lr,filename_hr
1,11,50,0,"{'NORM': 100.0}",1,records100/1_lr,records500/1_hr
2,12.0,60,1,"{'IMI': 80.0, 'SR': 0}",2,records100/2_lr,records500/2_hr
3,13,95,1,"{'NORM': 50.0}",3,records100/3_lr,records500/3_hr
"""


def make_ptbxl(folder, rng):
    (folder / "ptbxl_database.csv").write_text(PTBXL)


def ecgs(folder):
    t = ptbxl_table(folder)
    whole = [t.index.tolist(), t.patient.tolist(), t.fold.tolist()]
    return [*whole, t.age.to_numpy(), t.path_100.tolist(), t.path_500.tolist(), list(t.statements)]


def ecgs_by_pandas(folder):
    t = pd.read_csv(
        folder / "ptbxl_database.csv", dtype=str, keep_default_na=False, sep=None, engine="python"
    )
    t = t.rename(columns=str.strip).apply(lambda c: c.str.strip())
    t.columns = t.columns.str.lower()
    number = t[["ecg_id", "patient_id", "strat_fold"]].astype(float).astype(int)
    age = np.array([as_number(v, False) for v in t.age])
    statements = [{k.strip(): float(v) for k, v in yaml.safe_load(s).items()} for s in t.scp_codes]
    return [
        number.ecg_id.tolist(),
        number.patient_id.astype(str).tolist(),
        number.strat_fold.tolist(),
        np.where(age > 89, 90.0, age),
        t.filename_lr.tolist(),
        t.filename_hr.tolist(),
        statements,
    ]


# pictures
def make_picture(folder, rng):
    picture = Image.fromarray(rng.integers(0, 255, (9, 12), np.uint8))
    mode = str(rng.choice(["L", "RGB", "P", "1"]))
    picture.convert(mode).save(folder / "f.png")


def picture(folder):
    return [picture_array(folder / "f.png")]


def picture_by_pillow(folder):
    with Image.open(folder / "f.png") as im:
        im.load()
        mode = "L" if im.mode in ("L", "1", "LA") else "RGB"
        return [np.asarray(im.convert(mode))]


def make_hc18(folder, rng):
    (folder / "training_set").mkdir(exist_ok=True)
    y, x = np.mgrid[:30, :40]
    head = (((x - 20) / 12) ** 2 + ((y - 15) / 9) ** 2 < 1) * np.uint8(255)
    Image.fromarray(rng.integers(0, 255, head.shape, np.uint8)).save(
        folder / "training_set/1_HC.png"
    )
    Image.fromarray(head).save(folder / "training_set/1_HC_Annotation.png")
    heading = "filename,pixel size(mm),head circumference (mm)\n"
    (folder / "training_set_pixel_size_and_HC.csv").write_text(heading + "1_HC.png,0.11,68.7\n")


def sizes(folder):
    t = hc18_sweeps(folder, frames=(1, 2)).table
    return [sorted({p.rsplit("/", 1)[1] for p in t.path})]


def sizes_by_csv(folder):
    _, t = rows_by_csv(folder / "training_set_pixel_size_and_HC.csv")
    numbers = t[["pixel size(mm)", "head circumference (mm)"]].map(lambda v: as_number(v, False))
    assert (numbers > 0).all(axis=None), "a size that is no number above 0"
    return [[name for name in t.filename.str.strip() if name == "1_HC.png"]]


# YAML
GRID = """study: ctg_ne  # a comment
base: {preset: quick, protocol: "recommended"}
grid: {minutes: [20, 30], seed: [0, 1]}
"""


def make_grid(folder, rng):
    (folder / "grid.yaml").write_text(GRID)


def grid(folder):
    content = read_yaml(folder / "grid.yaml", several=True)
    try:
        runs = read_grid(folder / "grid.yaml")
    except BiosigError as e:
        assert "\n" not in str(e)
        assert "grid.yaml" in str(e)
    else:
        assert runs
        assert all(isinstance(run.parameters, dict) for run in runs)
    return content


class Plain(yaml.SafeLoader):
    "PyYAML without dates; yes, no, on and off are words."


Plain.yaml_implicit_resolvers = {
    first: [
        (tag, how) for tag, how in rules if "timestamp" not in tag and first not in (*"yYnNoO",)
    ]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def grid_by_yaml(folder):
    return list(yaml.load_all((folder / "grid.yaml").read_bytes(), Loader=Plain))


# weights, entries of the cache, predictions
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.body = torch.nn.Linear(20, 9)


def make_weights(folder, rng):
    torch.manual_seed(int(rng.integers(99)))
    save_body(Net(), folder / "b.safetensors", {"task": "rhythm"})


def make_resealed(folder, rng):
    "Weights whose card is made to fit after the damage."
    make_weights(folder, rng)


def reseal(folder):
    card = json.loads((folder / "b.json").read_text())
    card["sha256"] = hashlib.sha256((folder / "b.safetensors").read_bytes()).hexdigest()
    (folder / "b.json").write_text(json.dumps(card))


def weights(folder):
    state, card = load_body(folder / "b.safetensors")
    assert all(torch.isfinite(v).all() for v in state.values())
    return [{k: v.numpy() for k, v in state.items()}, card]


def weights_by_safetensors(folder):
    state = load_safetensors((folder / "b.safetensors").read_bytes())
    card = json.loads((folder / "b.json").read_bytes().decode("utf-8-sig"))
    return [dict(sorted(state.items())), card]


def make_entry(folder, rng):
    names = ["a", "b", "c"]
    table = pd.DataFrame({"record": names}, index=pd.Index(names, name="example"))
    facts = {"database": "made", "simulated": True, "fingerprint": "0" * 16}
    x = rng.normal(0, 1, (3, 1, 40))
    cohort = Cohort(x, np.array([0, 1, 0]), np.array(names), table, 250.0, ("I",), ("case",), facts)
    write_cohort(cohort, folder / "entry", {"seed": 1})


def entry(folder):
    c = open_cohort(folder / "entry", {"seed": 1})
    return [np.asarray(c.signals[:]), c.labels, c.table.record.tolist()]


def entry_by_numpy(folder):
    at = folder / "entry"
    x = np.load(at / "signals.npy") / np.load(at / "gain.npy")[..., None]
    return [
        x.astype(np.float32),
        np.load(at / "labels.npy"),
        pd.read_parquet(at / "table.parquet").record.tolist(),
    ]


def make_predictions(folder, rng):
    p = simulate_predictions(n_groups=6, per_group=2, n_folds=2, seed=int(rng.integers(99)))
    save_predictions(p, folder / "p.parquet")


def predictions(folder):
    return [load_predictions(folder / "p.parquet").to_dict("list")]


def predictions_by_pyarrow(folder):
    return [pq.read_table(folder / "p.parquet").to_pandas().to_dict("list")]


KINDS = {  # kind: (make, read, reference, file to damage, mutations, share of the mutants)
    "header": (make_record, record, record_by_wfdb, "r.hea", TEXT, 3),
    "signal": (make_record, record, record_by_wfdb, "r.dat", BINARY, 1),
    "MATLAB": (make_matrix, matrix, matrix_by_scipy, "r.mat", BINARY, 3),
    "records.csv": (make_deliveries, deliveries, deliveries_by_csv, "records.csv", TEXT, 2),
    "trace": (make_trace, trace, trace_by_csv, "r.csv", TEXT, 3),
    "labels.csv": (make_scans, labels, labels_by_csv, "labels.csv", TEXT, 2),
    "source.json": (make_scans, source, source_by_json, "source.json", TEXT, 1),
    "PTB-XL": (make_ptbxl, ecgs, ecgs_by_pandas, "ptbxl_database.csv", TEXT, 3),
    "HC18": (make_hc18, sizes, sizes_by_csv, "training_set_pixel_size_and_HC.csv", TEXT, 1),
    "picture": (make_picture, picture, picture_by_pillow, "f.png", BINARY, 2),
    "grid": (make_grid, grid, grid_by_yaml, "grid.yaml", TEXT, 3),
    "weights": (make_weights, weights, weights_by_safetensors, "b.safetensors", BINARY, 1),
    "resealed weights": (
        make_resealed,
        weights,
        weights_by_safetensors,
        "b.safetensors",
        BINARY,
        2,
    ),
    "card": (make_weights, weights, weights_by_safetensors, "b.json", TEXT, 1),
    "cache, list": (make_entry, entry, entry_by_numpy, "entry/meta.json", TEXT, 1),
    "cache, signals": (make_entry, entry, entry_by_numpy, "entry/signals.npy", BINARY, 1),
    "predictions": (make_predictions, predictions, predictions_by_pyarrow, "p.parquet", BINARY, 1),
}
NAMES = {"MATLAB": "r.mat", "header": "record r", "signal": "record r"}
NAMES |= {"records.csv": ("records.csv", "own", "record ", "a.csv", "b.csv", "c.csv")}
NAMES |= {"labels.csv": ("labels.csv", "scan ")}
NAMES |= {"source.json": "source.json", "weights": "b.", "resealed weights": "b.", "card": "b."}
NAMES |= {"cache, list": "cache entry entry", "cache, signals": "cache entry entry"}
NAMES |= {"PTB-XL": ("ptbxl_database.csv", "record ")}


def equal(a, b):
    "Whether two values are the same; NaN is equal to NaN."
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        a, b = np.asarray(a), np.asarray(b)
        return a.shape == b.shape and np.allclose(a, b, rtol=1e-6, atol=0, equal_nan=True)
    return a == b or (a != a and b != b)


def outcome(kind, folder):
    "What becomes of a file; fails where it is neither refused by name nor read as by the library."
    _, read, reference, file, *_ = KINDS[kind]
    try:
        with limited():
            ours = read(folder)
    except BiosigError as e:
        names = NAMES.get(kind, file.rsplit("/", 1)[-1])
        names = (names,) if isinstance(names, str) else names
        assert any(name in str(e) for name in names), str(e)
        assert "\n" not in str(e), str(e)
        return "refused"
    try:
        with limited(0.5):
            theirs = reference(folder)
    except (NoReference, TimeoutError):
        return "read; the library fails"
    except Exception as e:
        return f"read; the library fails ({type(e).__name__})"
    raw = (folder / file).read_bytes()
    assert equal(ours, theirs), (
        f"{kind}: read as\n{ours}\nby the library as\n{theirs}\n{raw[:1500]}"
    )
    return "read as by the library"


@pytest.mark.parametrize("n", [12, pytest.param(90, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files(kind, n, tmp_path):
    make, _, _, file, mutations, share = KINDS[kind]
    rng, counts = np.random.default_rng([n, *kind.encode()]), Counter()
    make(tmp_path, rng)
    path, before = tmp_path / file, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert outcome(kind, tmp_path) == "read as by the library"
    whole = path.read_bytes()
    card = (tmp_path / "b.json").read_text() if kind == "resealed weights" else ""
    for _ in range(n * share):
        path.write_bytes(mutant(whole, rng, mutations))
        if card:
            (tmp_path / "b.json").write_text(card)
            reseal(tmp_path)
        counts[outcome(kind, tmp_path)] += 1
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1000
    print(kind, dict(counts))
    assert grown < MEGABYTES
    assert counts["refused"] + counts["read as by the library"] > 0.5 * n * share


def test_there_are_enough_mutants():
    shares = sum(share for *_, share in KINDS.values())
    assert 12 * shares >= 200
    assert 90 * shares >= 2000
    assert os.name == "posix"
