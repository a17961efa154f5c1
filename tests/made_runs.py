"""A folder of made-up runs of the studies that are found, as sweeps and single runs would have left them."""

from itertools import cycle

import numpy as np
import pandas as pd

from biosig_nb.evaluate.inference.bootstrap import METRIC_COLUMNS
from biosig_nb.evaluate.inference.compare import COMPARISON_COLUMNS
from biosig_nb.evaluate.predictions import simulate_predictions
from biosig_nb.files import write_json
from biosig_nb.runs.store import write_results
from biosig_nb.studies.analysis import primary_analysis
from biosig_nb.studies.folders import find_studies

SWEPT, *OTHERS = find_studies(ours=True)
_others = cycle(OTHERS or [SWEPT])
FIRST, SECOND, THIRD, LAST = (next(_others) for _ in range(4))
N_RUNS = 14  # of `make`


def put(
    out,
    study,
    name,
    parameters,
    kind="simulated",
    preset="quick",
    status="complete",
    shift=0.0,
    error=None,
):
    "One run folder; the numbers hang on `shift` and the seed."
    plan, rng = (
        primary_analysis(study),
        np.random.default_rng([parameters.get("seed", 0), len(name)]),
    )
    here = {
        "target": plan["target"],
        "protocol": plan["protocol"],
        "model": "",
        "unit": plan["unit"],
        "label": plan["label"],
    }
    contrast = plan["contrast"]
    arms = {
        contrast["baseline"]: 0.62 + shift,
        contrast["arm"]: 0.7 + shift / 2,
        **{a: 0.68 for a in plan["others"][:2]},
    }
    metrics = [
        dict.fromkeys(METRIC_COLUMNS)
        | here
        | {
            "arm": a,
            "role": "arm",
            "metric": m,
            "estimate": v + 0.01 * rng.standard_normal(),
            "lo": v - 0.08,
            "hi": v + 0.08,
        }
        for a, v in arms.items()
        for m in dict.fromkeys((plan["metric"], "auprc"))
    ]
    gains = [
        dict.fromkeys(COMPARISON_COLUMNS)
        | here
        | {
            "arm": a,
            "baseline": contrast["baseline"],
            "metric": plan["metric"],
            "difference": v - arms[contrast["baseline"]],
            "lo": v - arms[contrast["baseline"]] - 0.06,
            "hi": v - arms[contrast["baseline"]] + 0.06,
            "conf": 0.95,
            "p": 0.1,
            "p_adjusted": 0.2,
            "n_groups": 40,
        }
        for a, v in arms.items()
        if a != contrast["baseline"]
    ]
    folder = out / study / f"{preset}-{name}"
    if status == "complete":
        write_results(
            folder,
            predictions=simulate_predictions(seed=0),
            metrics=pd.DataFrame(metrics),
            comparisons=pd.DataFrame(gains),
            splits={},
            primary={},
            data={},
        )
        (folder / "index.html").write_text("<!DOCTYPE html><title>a run</title><p>A page.</p>")
    headline = (
        {"difference": gains[0]["difference"], "lo": gains[0]["lo"], "hi": gains[0]["hi"]}
        if status == "complete"
        else None
    )
    write_json(
        folder / "run.json",
        {
            "study": study,
            "status": status,
            "preset": preset,
            "parameters": {
                "preset": preset,
                "data": "simulated" if kind == "simulated" else "real",
                **parameters,
            },
            "data": {
                "kind": kind,
                "name": "ward7" if kind == "own" else "",
                "fingerprint": "0" * 16,
            },
            "seconds": 61.0,
            "git_commit": "a" * 40,
            "primary": {
                "analysis": f"{contrast['arm']} against {contrast['baseline']}: {plan['metric']} by {plan['unit']}",
                "headline": headline,
                "verdict": "inconclusive" if headline else None,
            },
            "started": f"2026-11-{1 + parameters.get('seed', 0):02d}T08:00:00+00:00",
            "versions": {"biosig-nb": "0", "torch": "2"},
            "hardware": {"processor": "a processor", "cores": 2},
            "error": error,
        },
    )
    return folder


def make(out):
    "A sweep of nine runs, one run each of three more studies, a failed one and an interrupted one."
    for i, n in enumerate((4, 11, 22)):
        for seed in range(3):
            put(
                out,
                SWEPT,
                f"{n}{seed}",
                {"seed": seed, "n_source_records": n, "arms": ["scratch", "full"]},
                shift=0.03 * i,
            )
    put(out, FIRST, "real", {"seed": 0}, "real", shift=0.05)
    put(out, SECOND, "sim", {"seed": 0}, preset="smoke", shift=-0.02)
    put(out, THIRD, "own", {"seed": 0}, "own", shift=-0.05)
    put(
        out,
        LAST,
        "failed",
        {"seed": 5},
        "real",
        status="failed",
        error="DataError: x.dat: 12 bytes, expected 13",
    )
    put(out, LAST, "stopped", {"seed": 6}, status="running")
    return out
