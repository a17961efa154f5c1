"""Is the planted gain of each demo found, and its null world refused, over several seeds?

    python benchmarks/demo_worlds.py [STUDY ...] [--seeds 0 1 2 3 4] [--quick]

Only the declared contrast is trained, in both worlds; every seed that is tried is printed. With
--quick: `own_signals`, one seed.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd

from biosig_nb.studies.folders import find_studies, study_class
from biosig_nb.studies.known_answer import NULL_WORLD, known_answers, printed_answers
from biosig_nb.studies.parameters import limit_threads, resolve
from biosig_nb.studies.reach import main_trial
from biosig_nb.studies.study import describe, find_data


def both_worlds(name: str, seed: int, work: Path) -> pd.DataFrame:
    "Known and found answers of one study and seed."
    study, p = study_class(name)(name), resolve(name, {"preset": "demo", "seed": seed})
    data = find_data(study, p, work)
    trials = describe(study, p, data)[1]
    main, plan = trials[main_trial(trials, study.primary)], study.primary
    names = tuple(plan["contrast"].values())
    arms = tuple(a for a in main.arms if a.name in names)
    few = dict(arms=arms, comparators=(), source_comparators=(), derived=())
    worlds = [replace(main, **few), trials[NULL_WORLD]]
    found = [t.run(work, lambda *_: None).predictions for t in worlds]
    return known_answers(pd.concat(found, ignore_index=True), plan, seed)


def main(argv=None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("studies", nargs="*", default=list(find_studies(ours=True)))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args(argv)
    if given.quick:
        given.studies, given.seeds = ["own_signals"], [0]
    limit_threads(1)
    for name in given.studies:
        for seed in given.seeds:
            began = time.process_time()
            with tempfile.TemporaryDirectory() as work:
                table = printed_answers(both_worlds(name, seed, Path(work)))
            spent = time.process_time() - began
            print(f"{name}, seed {seed} ({spent:.0f} s of CPU)")
            print(table.drop(columns="known answer").to_string(index=False), flush=True)


if __name__ == "__main__":
    main()
