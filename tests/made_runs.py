"""A folder of simulated runs, as sweeps and single runs would have left them."""

from itertools import cycle

import numpy as np
import pandas as pd

from biosig_nb.evaluate.inference.bootstrap import METRIC_COLUMNS
from biosig_nb.evaluate.inference.compare import COMPARISON_COLUMNS
from biosig_nb.evaluate.predictions import simulate_predictions
from biosig_nb.files import write_json
from biosig_nb.studies.folders import find_studies
from biosig_nb.studies.results import write_results
from biosig_nb.studies.study_yaml import primary_analysis

SWEPT, *OTHERS = find_studies(ours=True)
_others = cycle(OTHERS or [SWEPT])
FIRST, SECOND, THIRD, LAST = (next(_others) for _ in range(4))
N_RUNS = 14  # of `make`


def made_metrics(plan, arms, rng):
    "Rows of metrics.csv for arms with these values."
    declared = {k: plan[k] for k in ("target", "protocol", "unit", "label")}
    row = dict.fromkeys(METRIC_COLUMNS) | declared | {"model": "", "role": "arm"}
    rows = []
    for arm, value in arms.items():
        interval = {"lo": value - 0.08, "hi": value + 0.08}
        for metric in dict.fromkeys((plan["metric"], "auprc")):
            estimate = value + 0.01 * rng.standard_normal()
            rows.append(row | {"arm": arm, "metric": metric, "estimate": estimate} | interval)
    return pd.DataFrame(rows)


def made_gains(plan, arms):
    "Rows of comparisons.csv for arms with these values."
    baseline = plan["contrast"]["baseline"]
    declared = {k: plan[k] for k in ("target", "protocol", "unit", "label", "metric")}
    row = dict.fromkeys(COMPARISON_COLUMNS) | declared | {"model": "", "baseline": baseline}
    row |= {"conf": 0.95, "p": 0.1, "p_adjusted": 0.2, "n_groups": 40}
    rows = []
    for arm, value in arms.items():
        gain = value - arms[baseline]
        numbers = {"difference": gain, "lo": gain - 0.06, "hi": gain + 0.06}
        if arm != baseline:
            rows.append(row | {"arm": arm} | numbers)
    return pd.DataFrame(rows)


def put(out, study, name, parameters, kind="simulated", preset="quick", shift=0.0, **record):
    "One run folder; its numbers depend on `shift` and the seed."
    plan, seed = primary_analysis(study), parameters.get("seed", 0)
    contrast = plan["contrast"]
    arms = {contrast["baseline"]: 0.62 + shift, contrast["arm"]: 0.7 + shift / 2}
    arms |= dict.fromkeys(plan["others"][:2], 0.68)
    plan |= {"target": "ward7"} if kind == "own" else {}
    gains, headline = made_gains(plan, arms), None
    folder = out / study / f"{preset}-{name}"
    if record.get("status", "complete") == "complete":
        headline = {k: gains[k][0] for k in ("difference", "lo", "hi")}
        write_results(
            folder,
            predictions=simulate_predictions(seed=0),
            metrics=made_metrics(plan, arms, np.random.default_rng([seed, len(name)])),
            comparisons=gains,
            splits={},
            primary={},
            data={},
        )
        (folder / "index.html").write_text("<!DOCTYPE html><title>a run</title><p>A page.</p>")
    analysis = f"{contrast['arm']} against {contrast['baseline']}: {plan['metric']}"
    data = "simulated" if kind == "simulated" else "real"
    facts = {
        "study": study,
        "status": "complete",
        "preset": preset,
        "parameters": {"preset": preset, "data": data, **parameters},
        "data": {"kind": kind, "name": "ward7" if kind == "own" else "", "fingerprint": "0" * 16},
        "seconds": 61.0,
        "git_commit": "a" * 40,
        "primary": {
            "analysis": f"{analysis} by {plan['unit']}",
            "headline": headline,
            "verdict": "inconclusive" if headline else None,
        },
        "started": f"2026-11-{1 + seed:02d}T08:00:00+00:00",
        "versions": {"biosig-nb": "0", "torch": "2"},
        "hardware": {"processor": "a processor", "cores": 2},
        "error": None,
    }
    write_json(folder / "run.json", facts | record)
    return folder


def make(out):
    "A sweep of nine runs, one run each of three more studies, a failed one and an interrupted one."
    for i, n in enumerate((4, 11, 22)):
        for seed in range(3):
            parameters = {"seed": seed, "n_source_records": n, "arms": ["scratch", "full"]}
            put(out, SWEPT, f"{n}{seed}", parameters, shift=0.03 * i)
    put(out, FIRST, "real", {"seed": 0}, "real", shift=0.05)
    put(out, SECOND, "sim", {"seed": 0}, preset="smoke", shift=-0.02)
    put(out, THIRD, "own", {"seed": 0}, "own", shift=-0.05)
    error = "DataError: x.dat: 12 bytes, expected 13"
    put(out, LAST, "failed", {"seed": 5}, "real", status="failed", error=error)
    put(out, LAST, "stopped", {"seed": 6}, status="running")
    return out
