"""The command line as a program: light imports, one line for a mistake, exit codes for scripts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fresh import biosig

from biosig_nb.data.catalog import get_database
from biosig_nb.studies.conditions import databases_of
from biosig_nb.studies.folders import find_studies
from biosig_nb.studies.parameters import resolve
from biosig_nb.studies.study_yaml import load_config

# studies that take a folder of the user's own
OWN = [s for s in find_studies() if load_config(s)["own"]]
PROGRAM = Path(sys.executable).with_name("biosig-nb")
HEAVY = ("torch", "pandas", "numpy", "scipy", "matplotlib", "papermill", "distributed")


def call(*args, cwd=None, env=None, timeout=300):
    "Exit code, standard output and standard error of a command."
    return tuple(biosig(*args, cwd=cwd, env={"BIOSIG_DATA": "", **(env or {})}, timeout=timeout))


def started(*args, env):
    "The same of a program that is started anew, so that PYTHONPATH counts."
    every = {**os.environ, "BIOSIG_DATA": "", **env}
    done = subprocess.run(
        [PROGRAM, *args], env=every, capture_output=True, text=True, timeout=300, check=False
    )
    return done.returncode, done.stdout, done.stderr


def refused(*args, **how):
    "The one line of a command that is refused with exit code 2."
    code, out, err = call(*args, **how)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert err.startswith("biosig-nb: ")
    return err


@pytest.mark.parametrize("command", ["--help", "run mitbih_ptb --list-parameters"])
def test_a_quick_answer_loads_nothing_heavy(command):
    code = f"""import sys
from biosig_nb.cli import main
try:
    main({command.split()!r})
finally:
    print([m for m in {HEAVY} if m in sys.modules], file=sys.stderr)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout
    assert done.stderr == "[]\n"


def test_the_package_imports_nothing_heavy():
    code = f"import biosig_nb, sys; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    "args, expected",
    [
        (["--help"], "run"),
        (["run", "--help"], "--list-parameters"),
        (["report", "--help"], "index page"),
        (["data", "list", "--help"], "on this machine"),
    ],
)
def test_help_explains(args, expected):
    code, out, err = call(*args)
    assert code == 0
    assert expected in out
    assert not err


def test_run_help_has_examples():
    out = call("run", "--help")[1]
    assert "Examples" in out
    assert "biosig-nb run mitbih_ptb --preset quick -p seed=3" in " ".join(out.split())


BEATS = ("run", "mitbih_ptb")
MISTAKES = {
    "study": (["run", "mitbih"], "unknown study 'mitbih'; did you mean 'mitbih_ptb'?"),
    "no such study": (
        ["run", "nosuch"],
        f"unknown study 'nosuch'; choose from: {', '.join(find_studies())}",
    ),
    "parameter": (
        [*BEATS, "-p", "epochz=3"],
        "mitbih_ptb has no parameter 'epochz'; choose from: preset,",
    ),
    "near parameter": ([*BEATS, "-p", "n_fold=3"], "did you mean 'n_folds'?"),
    "no parameter lr": ([*BEATS, "-p", "lr=fast"], "mitbih_ptb has no parameter 'lr'"),
    "type": (
        [*BEATS, "-p", "max_updates=fast"],
        "parameter max_updates: expected a whole number, found 'fast'",
    ),
    "range": ([*BEATS, "-p", "shared=1.5"], "parameter shared: 1.5 lies outside 0 to 1"),
    "choice": (
        [*BEATS, "-p", "arms=scratch,ful"],
        "parameter arms: 'ful' is no choice; did you mean 'full'?",
    ),
    "no baseline": (
        [*BEATS, "-p", "arms=full"],
        "parameter arms: 'full' lacks 'scratch', which the others are compared with",
    ),
    "file as folder": (
        [*BEATS, "--out", __file__],
        "Not a directory; choose a folder that can be written to with --out",
    ),
    "pair": ([*BEATS, "-p", "seed"], "-p seed: expected NAME=VALUE"),
    "preset": (
        [*BEATS, "--preset", "quik"],
        "parameter preset: 'quik' is no choice; did you mean 'quick'?",
    ),
    "two presets": (
        [*BEATS, "--preset", "quick", "-p", "preset=full"],
        "--preset quick and -p preset=full disagree: give one of them",
    ),
    "own folder": (
        [*BEATS, "--data", "./mine"],
        "'./mine' is no choice; choose from: simulated, real",
    ),
    "run folder": (
        [*BEATS, "-p", "run_dir=x"],
        "the runner chooses the run folder; --out says below which folder",
    ),
    "command": (["rnu", "mitbih_ptb"], "unknown command 'rnu'; did you mean 'run'?"),
    "option": ([*BEATS, "--prest", "quick"], "No such option: --prest"),
    "argument": (["run"], "Missing argument 'STUDY'"),
    "grid": (
        ["sweep", "mitbih_ptb/sourc"],
        "no grid 'mitbih_ptb/sourc'; did you mean 'mitbih_ptb/source'?",
    ),
    "runs": (["report", "--out", "nosuch"], "nosuch: no such folder"),
}


@pytest.mark.parametrize("args, expected", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_costs_one_line(args, expected, tmp_path):
    assert expected in refused(*args, cwd=tmp_path)
    assert not list(tmp_path.iterdir()), "nothing is left behind"


FORMER = {
    "option": (["--source", "simulated"], "parameter source is now called data"),
    "parameter": (["-p", "source=simulated"], "parameter source is now called data"),
    "n_lr_trials": (["-p", "n_lr_trials=1"], "parameter n_lr_trials is now called n_candidates"),
}


@pytest.mark.parametrize("args, answer", FORMER.values(), ids=FORMER)
def test_a_former_name_is_answered_by_one_line(args, answer, tmp_path):
    "Standard output is that of the present name, so that scripts can read it."
    grid = tmp_path / "one.yaml"
    grid.write_text("study: mitbih_ptb\n")
    code, out, err = call("sweep", grid, "--list", *args, cwd=tmp_path)
    assert (code, err) == (0, f"biosig-nb: {answer}\n")
    present = [a.replace("source", "data").replace("n_lr_trials", "n_candidates") for a in args]
    assert call("sweep", grid, "--list", *present, cwd=tmp_path) == (0, out, "")


def test_missing_recordings_name_address_and_path(tmp_path):
    for where in (["--data-root", tmp_path], ["-p", f"data_root={tmp_path}"]):
        err = refused("run", "mitbih_ptb", "--data", "real", *where, cwd=tmp_path)
        assert "https://physionet.org/content/mitdb/1.0.0/" in err
        assert str(tmp_path / "mitdb" / "1.0.0") in err
    elsewhere = str(tmp_path / "elsewhere")
    env = {"BIOSIG_DATA": elsewhere}
    assert elsewhere in refused("run", "mitbih_ptb", "-p", "data=real", cwd=tmp_path, env=env)
    assert not list(tmp_path.iterdir())


def test_list_parameters_shows_presets():
    code, out, _ = call("run", "mitbih_ptb", "--list-parameters")
    rows = [line.split("\t") for line in out.splitlines()]
    assert code == 0
    assert rows[0] == ["parameter", "smoke", "demo", "quick", "full", "allowed", "meaning"]
    assert {len(row) for row in rows} == {7}
    names = {row[0] for row in rows}
    assert {"seed", "arms", "n_folds"} <= names
    assert "run_dir" not in names


def test_data_list(tmp_path):
    code, out, _ = call("data", "list", "--data-root", tmp_path)
    rows = [line.split("\t") for line in out.splitlines()[1:]]
    assert code == 0
    assert {"mitdb", "ptbdb", "ptb-xl", "hc18"} <= {row[0] for row in rows}
    assert {row[2] for row in rows} == {"no"}
    used = {row[0]: row[6].split(", ") for row in rows}
    for study in find_studies():
        declared = load_config(study)["databases"]
        for slug in (*declared["required"], *declared["optional"]):
            assert study in used[slug]


@pytest.mark.parametrize("study", find_studies())
def test_a_real_run_names_missing_recordings(study, tmp_path):
    "Every declared database must be there before anything is computed, whichever study it is."
    p = resolve(study, {"data": "real", "data_root": str(tmp_path / "empty")})
    for slug in databases_of(load_config(study), p)[:1]:
        where = ("--data-root", "empty", "--out", "runs")
        err = refused("run", study, "--data", "real", *where, cwd=tmp_path)
        database = get_database(slug)
        assert database.address in err
        assert str(tmp_path / "empty" / database.folder) in err
    assert not list(tmp_path.iterdir()), "no run folder"


@pytest.mark.parametrize("study", OWN)
def test_a_folder_of_ones_own_must_exist(study, tmp_path):
    err = refused("run", study, "--out", "runs", "--target", "nosuch", cwd=tmp_path)
    assert "nosuch: no such folder" in err
    assert not list(tmp_path.iterdir()), "no run folder"


@pytest.mark.parametrize(
    "given, message",
    [
        (("--source-folder", "x"), "--source-folder needs --target"),
        (("--name", "Ward 7"), "--name is about recordings of your own; give --target DIR too"),
        (("--target", "."), "records.csv"),
        (("--target", ".", "-p", "protocol=both"), "own recordings take the recommended protocol"),
    ],
    ids=["source alone", "name alone", "no table", "published protocol"],
)
def test_options_on_own_recordings_that_do_not_fit(given, message, tmp_path):
    assert message in refused("run", "mitbih_ptb", "--out", "runs", *given, cwd=tmp_path)
    assert not list(tmp_path.iterdir()), "no run folder"


def test_former_words_for_own_recordings(tmp_path):
    "`target_set=own` and `folder=` are answered with the present option."
    alone = ("run", "ctg_ne", "-p", "target_set=own")
    assert "target_set=own is now --target DIR; give the folder" in refused(*alone, cwd=tmp_path)
    code, _, err = call(*alone, "-p", "folder=nosuch", cwd=tmp_path)
    assert code == 2
    assert "parameter folder is now called target" in err
    assert "target_set=own is now --target DIR alone" in err
    assert "nosuch: no such folder" in err


def test_sweep_lists_every_study_and_takes_former_names(tmp_path):
    code, out, _ = call("sweep", "every_study", "--preset", "demo", "--list", cwd=tmp_path)
    rows = [line.split("\t") for line in out.splitlines()[1:]]
    assert code == 0
    assert rows == [[study, "preset=demo"] for study in find_studies(ours=True)]
    former = call("sweep", "mitbih_ptb_source", "--list", cwd=tmp_path)
    assert former == call("sweep", "mitbih_ptb/source", "--list", cwd=tmp_path)
    assert not list(tmp_path.iterdir())


def test_cache_is_shown_and_cleared(tmp_path):
    how = {"cwd": tmp_path, "env": {"BIOSIG_CACHE": ""}}
    code, out, _ = call("cache", "show", "--out", "runs", **how)
    columns = ["kind", "name", "built from", "size (MB)", "last used (UTC)"]
    assert (code, out.splitlines()[0].split("\t")) == (0, columns)
    code, out, _ = call("cache", "clear", "--out", "runs", "--older-than", "30", **how)
    assert (code, out) == (0, f"removed 0 entries, 0.0 MB, from {Path('runs', 'cache')}\n")


def test_a_study_of_another_package_is_found(tmp_path):
    "Module, study.yaml, and the entry points as pip writes them: nothing of ours is changed."
    ours = next(iter(find_studies(ours=True).values())) / "study.yaml"
    (tmp_path / "beats_of_mine.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "study.yaml").write_text(ours.read_text())
    (tmp_path / "beats_of_mine-0.dist-info").mkdir()
    points = "[biosig_nb.studies]\nbeats_of_mine = beats_of_mine:Mine\n"
    (tmp_path / "beats_of_mine-0.dist-info" / "entry_points.txt").write_text(points)
    env = {"PYTHONPATH": str(tmp_path)}
    assert "beats_of_mine" in started("run", "--help", env=env)[1]
    code, out, err = started("run", "beats_of_mine", "--list-parameters", env=env)
    assert (code, err) == (0, "")
    assert out.splitlines()[1].startswith("preset")
    assert "did you mean 'beats_of_mine'?" in started("run", "beats_of_min", env=env)[2]
    every = started("sweep", "every_study", "--list", env=env)[1]
    assert "beats_of_mine" not in every, "every_study is of this package"


@pytest.mark.realdata
def test_data_list_sees_what_is_there():
    if not os.environ.get("BIOSIG_DATA"):
        pytest.skip("BIOSIG_DATA names no folder of recordings")
    out = call("data", "list", env={"BIOSIG_DATA": os.environ["BIOSIG_DATA"]})[1]
    rows = {line.split("\t")[0]: line.split("\t") for line in out.splitlines()}
    assert rows["mitdb"][2] in ("partly", "yes")
    assert int(rows["mitdb"][3].split(" of ")[0]) >= 8
