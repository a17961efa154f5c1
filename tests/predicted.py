"""What saved networks say of a folder, beside the predictions that the run has stored."""

import json

import numpy as np
import pandas as pd

from biosig_nb.data.segments.sweeps import Sequences
from biosig_nb.studies.predict_folder import new_examples


def numbered_ids(cohort, run):
    "The ids that a run's tables have for the examples of a folder."
    names = pd.read_csv(run / "work" / "own_names.csv", dtype=str)
    number = names[names.kind.isin(["recording", "scan"])].set_index("name").number
    if isinstance(cohort.signals, Sequences):
        t = cohort.signals.scans.table
        return [f"own/{number[s]}/{k:05d}" for s, k in zip(t.scan.astype(str), t.frame)]
    record = cohort.table["record"].astype(str).reset_index(drop=True)
    position = record.groupby(record).cumcount()
    several = record.duplicated().any()
    return [
        f"own/{number[r]}/{k:06d}" if several else f"own/{number[r]}"
        for r, k in zip(record, position)
    ]


def largest_difference(run, folder, frames):
    "Between stored test predictions and what the same fold's network says; rows compared."
    card = json.loads((run / "models" / "models.json").read_text())
    stored = pd.read_parquet(run / "predictions.parquet")
    stored = stored[(stored.arm == card["arm"]) & (stored.part == "test")]
    ensemble, cohort = new_examples(run / "models", folder, frames)
    ids, worst, n = numbered_ids(cohort, run), 0.0, 0
    for member in ensemble.members:
        here = [stored[k] == member.card[k] for k in ("seed", "repeat", "fold")]
        rows = stored[np.logical_and.reduce(here)].set_index("example")
        said = pd.DataFrame(member.raw(cohort), index=ids).loc[rows.index].to_numpy()
        columns = [c for c in rows if c.startswith("p_")]
        worst = max(worst, float(np.abs(said - rows[columns].to_numpy()).max()))
        n += len(rows)
    return worst, n
