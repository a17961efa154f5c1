"""The command line as a program: quick answers, one line for a mistake, and exit codes that a script can use."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from biosig_nb.data.catalog import get_database
from biosig_nb.studies.folders import databases_of, find_studies, load_config
from biosig_nb.studies.parameters import resolve

# studies that take a folder of the user's own
OWN = [s for s in find_studies() if load_config(s)["own"]]
PROGRAM = Path(sys.executable).with_name("biosig-nb")


def call(*args, cwd=None, env=None, timeout=300):
    done = subprocess.run(
        [PROGRAM, *map(str, args)],
        cwd=cwd,
        env={**os.environ, "BIOSIG_DATA": "", **(env or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    return done.returncode, done.stdout, done.stderr


def seconds(*command, tries=3):
    "The shortest of several times: a busy machine makes programs slower, never faster."
    times = []
    for _ in range(tries):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - began)
    return min(times)


def test_help_answers_at_once():
    assert seconds(PROGRAM, "--help") < 3, "1 s on a quiet machine; about .2 s measured"


def test_import_is_light():
    bare = seconds(sys.executable, "-c", "pass")
    assert seconds(sys.executable, "-c", "import biosig_nb") - bare < 0.9, (
        ".3 s on a quiet machine; a few ms measured"
    )


@pytest.mark.parametrize(
    "args, expected",
    [
        (["--help"], "run"),
        (["run", "--help"], "--list-parameters"),
        (["report", "--help"], "index page"),
        (["data", "list", "--help"], "on this machine"),
    ],
)
def test_help_teaches(args, expected):
    code, out, err = call(*args)
    assert code == 0 and expected in out and not err


def test_run_help_has_examples():
    out = call("run", "--help")[1]
    assert "Examples" in out and "biosig-nb run mitbih_ptb --preset quick -p seed=3" in " ".join(
        out.split()
    )


MISTAKES = {
    "study": (["run", "mitbih"], "unknown study 'mitbih'; did you mean 'mitbih_ptb'?"),
    "no such study": (
        ["run", "nosuch"],
        f"unknown study 'nosuch'; choose from: {', '.join(find_studies())}",
    ),
    "parameter": (
        ["run", "mitbih_ptb", "-p", "epochz=3"],
        "mitbih_ptb has no parameter 'epochz'; choose from: preset,",
    ),
    "near parameter": (["run", "mitbih_ptb", "-p", "n_fold=3"], "did you mean 'n_folds'?"),
    "no parameter lr": (["run", "mitbih_ptb", "-p", "lr=fast"], "mitbih_ptb has no parameter 'lr'"),
    "type": (
        ["run", "mitbih_ptb", "-p", "max_updates=fast"],
        "parameter max_updates: expected a whole number, found 'fast'",
    ),
    "range": (
        ["run", "mitbih_ptb", "-p", "shared=1.5"],
        "parameter shared: 1.5 lies outside 0 to 1",
    ),
    "choice": (
        ["run", "mitbih_ptb", "-p", "arms=scratch,ful"],
        "parameter arms: 'ful' is no choice; did you mean 'full'?",
    ),
    "no baseline": (
        ["run", "mitbih_ptb", "-p", "arms=full"],
        "parameter arms: 'full' lacks 'scratch', which the others are compared with",
    ),
    "file as folder": (
        ["run", "mitbih_ptb", "--out", __file__],
        "Not a directory; choose a folder that can be written to with --out",
    ),
    "pair": (["run", "mitbih_ptb", "-p", "seed"], "-p seed: expected NAME=VALUE"),
    "preset": (
        ["run", "mitbih_ptb", "--preset", "quik"],
        "parameter preset: 'quik' is no choice; did you mean 'quick'?",
    ),
    "two presets": (
        ["run", "mitbih_ptb", "--preset", "quick", "-p", "preset=full"],
        "--preset quick and -p preset=full disagree: give one of them",
    ),
    "own folder": (
        ["run", "mitbih_ptb", "--data", "./mine"],
        "'./mine' is no choice; choose from: simulated, real",
    ),
    "run folder": (
        ["run", "mitbih_ptb", "-p", "run_dir=x"],
        "the runner chooses the run folder; --out says below which folder",
    ),
    "command": (["rnu", "mitbih_ptb"], "unknown command 'rnu'; did you mean 'run'?"),
    "option": (["run", "mitbih_ptb", "--prest", "quick"], "No such option: --prest"),
    "argument": (["run"], "Missing argument 'STUDY'"),
    "grid": (
        ["sweep", "mitbih_ptb/sourc"],
        "no grid 'mitbih_ptb/sourc'; did you mean 'mitbih_ptb/source'?",
    ),
    "runs": (["report", "--out", "nosuch"], "nosuch: no such folder"),
}


@pytest.mark.parametrize("args, expected", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_costs_one_line(args, expected, tmp_path):
    code, out, err = call(*args, cwd=tmp_path)
    assert code == 2 and not out
    assert err.startswith("biosig-nb: ") and err.count("\n") == 1 and expected in err
    assert not list(tmp_path.iterdir()), "nothing is left behind"


def test_missing_recordings_name_address_and_path(tmp_path):
    for where in (["--data-root", tmp_path], ["-p", f"data_root={tmp_path}"]):
        code, _, err = call("run", "mitbih_ptb", "--data", "real", *where, cwd=tmp_path)
        assert (
            code == 2
            and err.count("\n") == 1
            and "https://physionet.org/content/mitdb/1.0.0/" in err
            and str(tmp_path / "mitdb" / "1.0.0") in err
        )
    assert (
        str(tmp_path / "elsewhere")
        in call(
            "run",
            "mitbih_ptb",
            "-p",
            "data=real",
            cwd=tmp_path,
            env={"BIOSIG_DATA": str(tmp_path / "elsewhere")},
        )[2]
    )
    assert not list(tmp_path.iterdir())


def test_list_parameters_shows_presets():
    code, out, _ = call("run", "mitbih_ptb", "--list-parameters")
    rows = [line.split("\t") for line in out.splitlines()]
    assert (
        code == 0
        and rows[0] == ["parameter", "smoke", "demo", "quick", "full", "allowed", "meaning"]
        and all(len(r) == 7 for r in rows)
    )
    assert {"seed", "arms", "n_folds"} <= {r[0] for r in rows} and "run_dir" not in {
        r[0] for r in rows
    }


def test_data_list(tmp_path):
    code, out, _ = call("data", "list", "--data-root", tmp_path)
    assert code == 0 and {"mitdb", "ptbdb", "ptb-xl", "hc18"} <= {
        line.split("\t")[0] for line in out.splitlines()
    }
    assert {line.split("\t")[2] for line in out.splitlines()[1:]} == {"no"}
    used = {line.split("\t")[0]: line.split("\t")[6].split(", ") for line in out.splitlines()[1:]}
    for study in find_studies():
        declared = load_config(study)["databases"]
        assert all(
            study in used[slug] for slug in (*declared["required"], *declared["optional"])
        ), study


def test_a_real_run_names_what_each_study_lacks(tmp_path):
    "Every declared database must be there before anything is computed, whichever study it is."
    for study in find_studies():
        p = resolve(study, {"data": "real", "data_root": str(tmp_path / "empty")})
        for slug in databases_of(load_config(study), p)[:1]:
            code, out, err = call(
                "run",
                study,
                "--data",
                "real",
                "--data-root",
                "empty",
                "--out",
                "runs",
                cwd=tmp_path,
            )
            d = get_database(slug)
            assert (
                code == 2
                and not out
                and err.count("\n") == 1
                and d.address in err
                and str(tmp_path / "empty" / d.folder) in err
            ), study
    assert not list(tmp_path.iterdir()), "no run folder"


@pytest.mark.parametrize("study", OWN)
def test_a_folder_of_ones_own(study, tmp_path):
    own = load_config(study)["own"]
    meant = [f"-p {k}={v[0]}" for k, v in own["when"].items()]
    ask = ["run", study, "--out", "runs", *" ".join(meant).split()]
    for more, expected in (
        ([], f"needs {own['parameter']}=PATH"),
        (
            ["-p", f"{own['parameter']}=nosuch"],
            f"{own['parameter']}={tmp_path / 'nosuch'}: no such folder",
        ),
    ):
        code, out, err = call(*ask, *more, cwd=tmp_path)
        assert code == 2 and not out and err.count("\n") == 1 and expected in err
    code, _, err = call(
        "run", study, "--out", "runs", "-p", f"{own['parameter']}=nosuch", cwd=tmp_path
    )
    assert code == 2 and "is not used" in err and not list(tmp_path.iterdir())


def test_sweep_lists_every_study_and_takes_former_names(tmp_path):
    code, out, _ = call("sweep", "every_study", "--preset", "demo", "--list", cwd=tmp_path)
    assert code == 0 and [line.split("\t") for line in out.splitlines()[1:]] == [
        [s, "preset=demo"] for s in find_studies(ours=True)
    ]
    assert call("sweep", "mitbih_ptb_source", "--list", cwd=tmp_path) == call(
        "sweep", "mitbih_ptb/source", "--list", cwd=tmp_path
    )
    assert not list(tmp_path.iterdir())


def test_cache_is_shown_and_cleared(tmp_path):
    code, out, _ = call("cache", "show", "--out", "runs", cwd=tmp_path, env={"BIOSIG_CACHE": ""})
    assert code == 0 and out.splitlines()[0].split("\t") == [
        "kind",
        "name",
        "built from",
        "size (MB)",
        "last used (UTC)",
    ]
    code, out, _ = call(
        "cache",
        "clear",
        "--out",
        "runs",
        "--older-than",
        "30",
        cwd=tmp_path,
        env={"BIOSIG_CACHE": ""},
    )
    assert code == 0 and "removed 0 entries" in out and out.strip().endswith("runs/cache")


def test_a_study_of_another_package_is_found(tmp_path):
    "Module, study.yaml, and the entry points as pip writes them: nothing of ours is changed."
    ours = next(iter(find_studies(ours=True).values())) / "study.yaml"
    (tmp_path / "beats_of_mine.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "study.yaml").write_text(ours.read_text())
    (tmp_path / "beats_of_mine-0.dist-info").mkdir()
    (tmp_path / "beats_of_mine-0.dist-info" / "entry_points.txt").write_text(
        "[biosig_nb.studies]\nbeats_of_mine = beats_of_mine:Mine\n"
    )
    env = {"PYTHONPATH": str(tmp_path)}
    assert "beats_of_mine" in call("run", "--help", env=env)[1]
    code, out, err = call("run", "beats_of_mine", "--list-parameters", env=env)
    assert code == 0 and out.splitlines()[1].startswith("preset") and not err
    assert "did you mean 'beats_of_mine'?" in call("run", "beats_of_min", env=env)[2]
    assert "beats_of_mine" not in call("sweep", "every_study", "--list", env=env)[1], (
        "every_study is of this package"
    )


@pytest.mark.realdata
def test_data_list_sees_what_is_there():
    if not os.environ.get("BIOSIG_DATA"):
        pytest.skip("BIOSIG_DATA names no folder of recordings")
    out = call("data", "list", env={"BIOSIG_DATA": os.environ["BIOSIG_DATA"]})[1]
    rows = {line.split("\t")[0]: line.split("\t") for line in out.splitlines()}
    assert rows["mitdb"][2] in ("partly", "yes") and int(rows["mitdb"][3].split(" of ")[0]) >= 8
