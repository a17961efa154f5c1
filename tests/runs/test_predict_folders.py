"""Every study's saved networks predict a folder as they predicted it in their run."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from fresh import biosig
from predicted import largest_difference

from biosig_nb.data.simulate.ctg_site import simulate_site
from biosig_nb.data.simulate.phantom import simulate_phantom
from biosig_nb.signals.ecg12 import LEADS, example_ecg12

pytestmark = pytest.mark.slow  # a run of each study


def twelve_leads(path, seed, kind="ecg", channels=LEADS):
    "28 ECGs of ten seconds, half of them higher."
    path.mkdir()
    rng, x = np.random.default_rng(seed), example_ecg12(fs=100)
    at = [LEADS.index(c) for c in channels]
    for k in range(28):
        size = 1 + 0.5 * (k % 2) + 0.2 * rng.random()
        noisy = size * x[at] + 0.003 * rng.standard_normal((len(at), x.shape[1]))
        table = pd.DataFrame(noisy.T.round(4), columns=list(channels))
        table.to_csv(path / f"e{seed}{k:02d}.csv", index=False)
    names = [f"e{seed}{k:02d}" for k in range(28)]
    rows = {"record": names, "label": np.arange(28) % 2, "patient": [f"P{n}" for n in names]}
    pd.DataFrame(rows).to_csv(path / "records.csv", index=False)
    (path / "biosig.yaml").write_text(f"kind: {kind}\nfs: 100\nunit: mV\nlabel: high\n")
    return path


def one_lead(path, seed):
    return twelve_leads(path, seed, channels=("I",))


def two_channels(path, seed):
    return twelve_leads(path, seed, "signals", ("II", "V2"))


def deliveries(path, seed):
    simulate_site(path, seed, n_records=20, minutes=32)
    table = pd.read_csv(path / "records.csv", dtype=str)
    who = "patient" if "patient" in table else "group"
    table = table.assign(**{who: [f"site {seed} {v}" for v in table[who]]})
    table.to_csv(path / "records.csv", index=False)
    return path


def sweeps(path, seed):
    raw = simulate_phantom(path.with_name(f"raw{seed}"), seed=seed, n_scans=14)
    table = pd.read_csv(raw / "labels.csv").rename(columns={"scan": "record"})
    path.mkdir()
    for name in table.record.unique():
        shutil.copytree(raw / name, path / f"s{seed}{name}")
    renamed = {c: [f"s{seed}{v}" for v in table[c]] for c in ("record", "patient")}
    table = table.assign(**renamed)[["record", "frame", "label", "patient"]]
    table.to_csv(path / "records.csv", index=False)
    return path


FOLDERS = {
    "ctg_ne": deliveries,
    "ptbxl_g12ec": twelve_leads,
    "icentia_af": one_lead,
    "mitbih_ptb": one_lead,
    "fetal_head": sweeps,
    "own_signals": two_channels,
}


@pytest.mark.parametrize("study", FOLDERS)
def test_own_source_own_target_and_predictions(study, tmp_path):
    target, source = (FOLDERS[study](tmp_path / name, k) for k, name in ((1, "new"), (2, "old")))
    out = tmp_path / "runs"
    where = ("--target", target, "--source-folder", source, "--save-models", "--out", out)
    process = biosig("run", study, *where, "-p", "n_resamples=100")
    assert process.returncode == 0, process.stderr
    assert f"what {study} will do with it" in process.stderr
    (run,) = (f.parent for f in (out / study).glob("*/run.json"))
    data = json.loads((run / "run.json").read_text())["data"]
    assert (data["kind"], data["databases"]) == ("own", [])
    assert not (data["simulated_target"] or data["simulated_source"])
    worst, n = largest_difference(run, target, tmp_path)
    assert n > 0
    assert worst < 1e-6
    table = pd.read_csv(target / "records.csv")
    table.drop(columns="label").to_csv(target / "records.csv", index=False)
    said = biosig("predict", run, target, "--out", out)
    assert said.returncode == 0, said.stderr
    assert said.stderr.startswith("limit: ")
    assert said.stdout.startswith("record\tp_")
    refused = biosig("predict", run, spoiled(study, target), "--out", out)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.count("\n") == 1


def spoiled(study, folder):
    "The folder with a fault that the networks cannot overlook."
    if study == "fetal_head":  # a sweep shorter than a sequence
        table = pd.read_csv(folder / "records.csv")
        first = table[table.record == table.record.iloc[0]]
        pd.concat([first.iloc[:3], table[table.record != table.record.iloc[0]]]).to_csv(
            folder / "records.csv", index=False
        )
        for path in sorted((folder / table.record.iloc[0]).glob("*.png"))[3:]:
            path.unlink()
    elif study == "ctg_ne":
        table = pd.read_csv(folder / "records.csv")
        pd.concat([table, pd.DataFrame({"record": ["nosuch"]})]).to_csv(
            folder / "records.csv", index=False
        )
    else:  # another last channel
        for path in folder.glob("e*.csv"):
            head, _, rest = path.read_text().partition("\n")
            path.write_text(f"{head[:-1]}9\n{rest}" if head != "I" else f"X\n{rest}")
    return folder
