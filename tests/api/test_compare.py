"""The same recordings as a folder and as arrays; networks that are kept; a page in plain Python."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from checkout import ROOT, once

from biosig_nb.api import compare
from biosig_nb.cli import main
from biosig_nb.data.simulate.own_signals import CHANNELS, FS, simulate_own_pair
from biosig_nb.errors import BiosigError, ConfigError, DataError
from biosig_nb.runs.execute import execute_run
from biosig_nb.runs.store import list_runs
from biosig_nb.studies.predict_folder import predict_folder

SMALL = {
    "preset": "smoke",
    "network": "cnn_lstm",
    "n_random_features": 84,
    "n_resamples": 100,
    "pretrain_updates": 20,
}


def folders(root):
    simulate_own_pair(root, 5, n_source=24, n_target=20)
    return root / "source", root / "target"


def arrays(folder):
    "Signals (of unequal length), labels and patients of a folder, as a user would load them."
    t = pd.read_csv(folder / "records.csv")
    signals = [np.load(folder / f"{record}.npy") for record in t.record]
    return signals, t.label.to_numpy(), t.patient.to_numpy(), t[["age", "sex"]]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    "A run of the command line's kind on a folder, and the same by `compare`."

    def make(folder):
        source, target = folders(folder / "own")
        given = {**SMALL, "arms": ["scratch", "full"], "save_models": True}
        given |= {"target": str(target), "source_folder": str(source), "name": "ward"}
        run = execute_run("own_signals", given, folder / "runs")
        (folder / "run.txt").write_text(str(run))

    folder = once(tmp_path_factory, "own_signals", make)
    source, target = folder / "own/source", folder / "own/target"
    X, y, patients, known = arrays(target)
    result = compare(
        X,
        y,
        patients,
        fs=FS,
        channels=CHANNELS,
        unit="uV",
        label="event",
        metadata=known,
        name="ward",
        pretrained=arrays(source)[:3],
        cv=2,
        smallest_gain=0.05,
        progress=False,
        **{**SMALL, "arms": ("scratch", "full")},
    )
    return Path((folder / "run.txt").read_text()), result, target


def in_order(table, names):
    return table[names].sort_values(names[:4], kind="stable").reset_index(drop=True)


def test_a_folder_and_arrays_give_the_same_numbers_to_the_bit(both):
    folder, result, _ = both
    stored = pd.read_parquet(folder / "predictions.parquet")
    keys = ["arm", "part", "fold", "example", "group", "y_event", "p_event"]
    pd.testing.assert_frame_equal(
        in_order(result.predictions, keys),
        in_order(stored, keys),
        check_exact=True,
        check_dtype=False,
    )
    where = ["target", "arm", "metric", "label", "unit"]
    metrics = pd.read_csv(folder / "metrics.csv")
    ours = result.metrics[result.metrics.target == "ward"]  # the source task is named by its folder
    same = ours.merge(metrics, on=where, suffixes=("", "_run"))
    assert len(same) == len(ours) > 50
    for name in ("estimate", "lo", "hi"):
        np.testing.assert_array_equal(same[name].to_numpy(), same[f"{name}_run"].to_numpy(), name)
    where = ["target", "arm", "baseline", "metric", "label", "unit"]
    written = pd.read_csv(folder / "comparisons.csv")
    same = result.comparisons.merge(written, on=where, suffixes=("", "_run"))
    assert len(same) == len(written) == len(result.comparisons)
    for name in ("difference", "lo", "hi", "p"):
        np.testing.assert_array_equal(same[name].to_numpy(), same[f"{name}_run"].to_numpy(), name)


def test_a_run_on_own_recordings_keeps_its_networks_and_names_nobody(both):
    folder, _, target = both
    card = json.loads((folder / "models/models.json").read_text())
    assert card["arm"] in ("scratch", "full")
    assert card["limits"]
    table, limits = predict_folder(folder / "models", target)
    assert len(table) == 40
    assert limits == card["limits"]
    names = set(pd.read_csv(target / "records.csv").record)
    for path in folder.rglob("*"):
        if "work" in path.relative_to(folder).parts or not path.is_file():
            continue
        text = path.read_bytes()
        assert not [n for n in names if n.encode() in text], path.name


def test_the_command_line_predicts_and_repeats_the_limits(both, tmp_path, capsys):
    folder, _, target = both
    saved = tmp_path / "predictions.csv"
    with pytest.raises(SystemExit) as ended:
        main(["predict", str(folder), str(target), "--save", str(saved)])
    assert ended.value.code == 0
    said = capsys.readouterr()
    assert "limit: Trained and tested on 40 records of 20 patients (ward)" in said.err
    lines = saved.read_text().splitlines()
    assert lines[0].startswith("# Trained and tested on")
    assert len([line for line in lines if not line.startswith("#")]) == 41
    table, _ = predict_folder(folder / "models", target)
    again = pd.read_csv(saved, comment="#", index_col="record")
    np.testing.assert_allclose(again.to_numpy(), table.to_numpy(), atol=1e-12)


def test_the_command_line_refuses_in_one_line(both, tmp_path, capsys):
    folder, _, target = both
    faster = shutil.copytree(target, tmp_path / "faster")
    settings = (faster / "biosig.yaml").read_text()
    (faster / "biosig.yaml").write_text(settings.replace("fs: 64", "fs: 128"))
    with pytest.raises(SystemExit) as ended:
        main(["predict", str(folder), str(faster)])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "sampled at 128 Hz; the model expects 64 Hz" in line


def test_result_predicts_as_the_run_does(both):
    folder, result, target = both
    table, _ = predict_folder(folder / "models", target)
    X = arrays(target)[0]
    assert (
        json.loads((folder / "models/models.json").read_text())["arm"]
        == (result.models.members[0].card["arm"])
    )
    np.testing.assert_array_equal(result.predict(X).to_numpy(), table.to_numpy())


def test_the_page_of_a_result_is_a_run(both, tmp_path):
    _, result, _ = both
    page = result.report(tmp_path / "runs/own_signals/mine")
    (run,) = list_runs(tmp_path / "runs")
    assert run.status == "complete"
    assert run.record["data"]["name"] == "ward"
    assert run.record["declaration"] == result.declaration["hash"]
    assert not page.stat().st_mode & 0o077
    html = page.read_text()
    assert 'id="verdict"' in html
    for name in set(result.patients.values()):
        assert f">{name}<" not in html
    assert str(Path.home()) not in html


OWN_NETWORK = """
import sys
import numpy as np
import torch
from torch import nn

from biosig_nb import compare

class Mine(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv1d(1, 4, 7), nn.BatchNorm1d(4)
        self.fc = nn.Linear(4, 9)

    def forward(self, x):
        return self.fc(torch.relu(self.norm(self.conv(x))).mean(2))

torch.set_num_threads(2)
rng = np.random.default_rng(0)
y = np.arange(32) % 2
x = rng.normal(size=(32, 1, 64)) + 0.5 * y[:, None, None]
who = [f"t{k // 2}" for k in range(32)]
how = dict(cv=2, arms=("scratch", "lora", "full"), preset="smoke", n_random_features=84)
how |= dict(n_resamples=100, control_arms=["random frozen", "shuffled source"], head="fc")
r = compare(x, np.where(y, "sick", "ill"), who, fs=50, network=Mine(),
            pretrained=Mine().state_dict(), **how)
assert torch.get_num_threads() == 2
assert "IPython" not in sys.modules
p = r.predict(x[:3])
assert p.shape == (3, 2), p
assert set(r.predictions.start) >= {"random", "weights"}
assert "shuffled source" not in set(r.predictions.arm)
print(repr(r))
"""


def test_plain_python_without_ipython_a_network_and_a_state_dict_of_ones_own():
    done = subprocess.run(
        [sys.executable, "-c", OWN_NETWORK], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert (
        "Comparison of full fine-tuning with scratch: 32 recordings of 16 patients" in done.stdout
    )
    assert "Machinery test" in done.stdout
    lines = [line for line in done.stderr.splitlines() if "/" in line.split(" ")[0]]
    assert 2 <= len(lines) <= 12


def test_errors_are_value_errors():
    for error in (DataError, ConfigError):
        assert issubclass(error, ValueError)
        assert issubclass(error, BiosigError)
