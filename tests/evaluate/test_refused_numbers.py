"""Every public function of `evaluate` refuses NaN, labels other than 0 and 1, wrong weights."""

import importlib
import inspect
import pkgutil
from functools import cache

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import biosig_nb.evaluate
from biosig_nb.errors import DataError
from biosig_nb.evaluate.group_table import make_groups
from biosig_nb.evaluate.predictions import simulate_predictions

ARRAYS = {"y", "Y", "p", "P", "d_a", "d_b", "p_a", "p_b", "scores", "w"}
TABLES = {"predictions", "df", "validation", "permuted"}
# Functions with such a parameter that need no check, and why.
EXCEPTIONS = {
    "label_names": "reads names",
    "truth": "the check reads with it",
    "probabilities": "the check reads with it",
    "row_name": "names a row of a message",
    "members": "reads names",
    "rows_of": "chooses rows",
    "pool_folds": "chooses rows; what scores them checks",
    "nominal_sizes": "reads sizes",
    "compared_label": "reads names",
    "check_arms": "reads names",
    "table_html": "shows any table",
    "show_table": "shows any table",
    "p_text": "prints a p-value",
    "with_source_seed": "adds a column",
    "ratio_of_groups": "reads sizes",
    "expected_redo_se": "its validation is a share of groups",
    "what_can_be_said": "its validation is a share of groups",
    "fold_scores": "scores a Setting, which was checked",
    "holm": "NaN is 'not tested'; tested in its chapter",
    # inner functions of the kernels, called for arrays that were checked where they entered
    "bin_edges": "kernel",
    "logit": "kernel",
    "smoother": "kernel",
    "decide": "kernel",
    "is_exclusive": "kernel",
}


def public_functions():
    "Name -> function, of every function that is exported and takes such arrays or tables."
    found = {}
    package = biosig_nb.evaluate
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        names = getattr(importlib.import_module(module.name), "__all__", ())
        for name in names:
            f = getattr(importlib.import_module(module.name), name)
            if not inspect.isfunction(f) or f.__module__ != module.name:
                continue
            parameters = set(inspect.signature(f).parameters)
            # with `weights` it is a kernel: its arrays were checked where the weights were made
            if parameters & (ARRAYS | TABLES) and "weights" not in parameters:
                found[name] = f
    return found


FUNCTIONS = public_functions()
CHECKED = sorted(set(FUNCTIONS) - set(EXCEPTIONS))


def with_validation(df):
    "The table with validation rows of other examples."
    other = {c: "v" + df[c] for c in ("example", "group")}
    return pd.concat([df.assign(part="validation", **other), df], ignore_index=True)


@cache
def tables():
    "Small tables, for functions with different needs."
    arms = {"scratch": 1.0, "full": 1.6, "other": 1.2, "age": 0.2}
    size = dict(n_groups=16, per_group=4)
    study = with_validation(simulate_predictions(arms, n_folds=2, **size))
    study = study.assign(role=study.arm.map({"age": "control"}).fillna("arm"))
    one = simulate_predictions(dict(scratch=1.0, full=1.6), n_folds=1, **size)
    sizes = [one.assign(target_n=n) for n in (16, 32)]
    classes = simulate_predictions(dict(full=2.0), tuple("NSVFQ"), n_folds=1, **size)
    permuted = [
        simulate_predictions(dict(forest=0.0), n_folds=1, seed=i, **size).assign(target=f"p{i}")
        for i in range(20)
    ]
    return {
        "study": study,
        "one": one,
        "sizes": pd.concat(sizes, ignore_index=True),
        "classes": classes,
        "permuted": pd.concat(permuted, ignore_index=True),
    }


def first_member(fold):
    "The first member in place of an ensemble."
    return {part: P[0] for part, P in fold.P.items()}, ()


SCRATCH = [("scratch", ["full"])]
TWO = dict(arms=["scratch", "full"])
FEW = dict(n_resamples=20)
CURVES = ("learning_curve", "paired_gain", "label_efficiency")
ALL_SIZES = dict(metric="auroc", size="target_n", label=None, arms=None, seed=0)
# Name of a function -> its table and further arguments.
CALLS = {
    "before_after": ("study", dict(methods=("platt",), metrics=("auroc",), **FEW)),
    "calibration_table": ("study", FEW),
    "decision_curve": ("study", FEW),
    "beat_counts": ("classes", {}),
    "ec57_table": ("classes", FEW),
    "fit_temperature": ("validation", {}),
    "fit_platt": ("validation", {}),
    "fit_isotonic": ("validation", {}),
    "reliability_table": ("study", dict(arm="full", **FEW)),
    "reliability_diagram": ("study", dict(arm="full", **FEW)),
    "metric_table": ("study", FEW),
    "paired_differences": ("study", dict(families=SCRATCH)),
    "compare_families": ("study", dict(families=SCRATCH)),
    "compare_arms": ("study", dict(arms=["full"])),
    "equivalence": ("study", dict(arms=["full"], smallest_gain=0.05)),
    "redo_interval": ("study", dict(arm="full")),
    "delong_table": ("one", {}),
    "roc_band": ("study", FEW),
    "confusion": ("study", dict(arm="full")),
    "control_table": ("study", {}),
    "ensemble_table": ("study", dict(arms=["scratch", "full"], baseline="other")),
    "soft_vote": ("study", TWO),
    "stack": ("study", TWO),
    "best_single": ("study", TWO),
    "combined": ("study", dict(name="new", role=None, combine=first_member, **TWO)),
    "permutation_scores": ("permuted", {}),
    "permutation_row": ("permuted", {}),
    "chance_level": ("permuted", dict(metric="auprc")),
    "clinical_table": ("study", dict(threshold=0.3, **FEW)),
    "net_benefit_gain": ("study", dict(threshold=0.3, arms=["full"])),
    "subgroup_table": ("study", dict(groups_table=make_groups(["patient000"], [60]), **FEW)),
    "all_sizes": ("sizes", dict(unit="patient", **ALL_SIZES, **FEW)),
    "net_benefit": ("arrays", dict(thresholds=0.3)),
    "metric_value": ("arrays", dict(metric="f1")),
    "bootstrap_interval": ("arrays", dict(n_resamples=20)),
    "example_weights": ("arrays", dict(n=8)),
    "group_strata": ("matrices", dict(codes=np.arange(8) // 2)),
    "macro_auroc": ("matrices", {}),
    "fit_stacker": ("members", dict(labels=["a", "b"])),
    "make_predictions": (
        "arrays",
        dict(study="s", target="t", protocol="p", model="m", arm="full", labels="ill")
        | dict(example=list("abcdefgh"), group=list("aabbccdd")),
    ),
}
CALLS |= {name: ("sizes", FEW) for name in CURVES}


def arrays(kind):
    "Arguments that are arrays: one label, two labels, or the members of an ensemble."
    y = np.array([0, 0, 1, 1, 0, 1, 0, 1.0])
    p = np.array([0.1, 0.4, 0.35, 0.8, 0.2, 0.9, 0.5, 0.15])
    if kind != "arrays":
        y, p = np.stack([y, 1 - y], axis=1), np.stack([p, p[::-1]], axis=1)
    P = np.stack([p, 1 - p]) if kind == "members" else p
    found = dict(y=y, Y=y, p=P, P=P, scores=P, p_a=p, p_b=p[::-1], w=np.arange(8) % 3 + 0.5)
    return found | dict(d_a=(p > 0.3).astype(float), d_b=(p > 0.6).astype(float))


def arguments(name, tmp_path):
    "Good arguments of a function."
    kind, more = CALLS.get(name, ("study", {}))
    more = dict(more)
    parameters = inspect.signature(FUNCTIONS[name]).parameters
    of_table = set(parameters) & TABLES
    if not of_table:
        given = arrays(kind if name in CALLS else "arrays")
        more |= {k: v for k, v in given.items() if k in parameters}
        if "groups" in parameters and name.startswith("obuchowski"):
            more["groups"] = np.arange(8) // 2
        return more
    table = tables()["study" if kind == "validation" else kind]
    if kind == "validation":
        table = table[(table.part == "validation") & (table.arm == "full")]
    if name in ("fold_predictions", "support_table"):
        table = table[(table.part == "test") & (table.arm == "full")]
    if name == "fold_predictions":
        more["groups"] = np.unique(table.group.to_numpy(str))
    if name == "save_predictions":
        more["path"] = tmp_path / "p.parquet"
    key = "predictions" if "predictions" in of_table else of_table.pop()
    return {key: table} | more


def call(name, given):
    "Call a function, and go through what it yields."
    found = FUNCTIONS[name](**given)
    plt.close("all")
    return list(found) if inspect.isgenerator(found) else found


def broken_table(df, column, value):
    "The table with a wrong value in one row of each arm, partition and target."
    first = ~df.duplicated(["arm", "part", "target", "target_n"])
    columns = [c for c in df.columns if c.startswith(column)]
    return df.assign(**{c: df[c].where(~first, value) for c in columns[:1]})


def broken_array(x, value):
    x = np.array(x, float)
    x[..., -1] = value
    return x


def broken(name, given):
    "Arguments with one wrong value, and what the message says of it."
    for key, value in given.items():
        if isinstance(value, pd.DataFrame) and "arm" in value:
            for column, wrong in (("p_", np.nan), ("y_", 2), ("y_", np.nan), ("p_", 1.5)):
                found = broken_table(value, column, wrong)
                yield given | {key: found}, f"is {float(wrong)} in row"
        elif key in ("y", "Y", "d_a", "d_b"):
            yield given | {key: broken_array(value, np.nan)}, " is nan"
            if name != "mcnemar":  # takes classes of any name
                yield given | {key: value + 1}, " is 2.0"
        elif key == "w":
            for wrong in (-1, np.nan, np.inf):
                yield given | {key: broken_array(value, wrong)}, f"weight is {float(wrong)}"
            yield given | {key: 0 * value}, "all 8 weights are 0"
        elif key in ARRAYS:
            for wrong in (np.nan, np.inf):
                yield given | {key: broken_array(value, wrong)}, f" is {float(wrong)}"


def test_the_exceptions_exist():
    assert set(EXCEPTIONS) <= set(FUNCTIONS)
    assert set(CALLS) <= set(CHECKED)
    assert len(CHECKED) > 60


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CHECKED)
def test_wrong_numbers_are_refused(name, tmp_path):
    given = arguments(name, tmp_path)
    call(name, given)  # these are right
    cases = list(broken(name, given))
    assert cases
    for wrong, message in cases:
        with pytest.raises(DataError) as e:
            call(name, wrong)
        text = str(e.value)
        assert message in text, (name, text)
        assert "\n" not in text


@pytest.mark.filterwarnings("ignore")
def test_an_absent_class_is_still_no_error():
    "NaN inside an average means that a fold lacks a class, and stays so."
    df = tables()["study"]
    df = df[(df.part == "test") & (df.arm == "full")]
    groups = df.groupby("group").y_infarction.max()
    ill = df.group.map(groups) == 1
    alone = df.assign(fold=np.where(ill, 0, 1))  # no fold has both classes
    table = FUNCTIONS["metric_table"](alone, ("auroc", "brier"), n_resamples=20)
    estimates = table[table.label == "infarction"].set_index("metric").estimate
    assert np.isnan(estimates.auroc)
    assert 0 < estimates.brier < 1
