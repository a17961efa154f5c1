"""The command line as a program: quick answers, one line for a mistake, and exit codes that a script can use."""
import os, subprocess, sys, time
from pathlib import Path
import pytest

PROGRAM = Path(sys.executable).with_name("biosig-nb")


def call(*args, cwd=None, env=None, timeout=300):
    done = subprocess.run([PROGRAM, *map(str, args)], cwd=cwd, env={**os.environ, "BIOSIG_DATA": "", **(env or {})}, capture_output=True, text=True, timeout=timeout)
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
    assert seconds(sys.executable, "-c", "import biosig_nb") - bare < .9, ".3 s on a quiet machine; a few ms measured"


@pytest.mark.parametrize("args, expected", [(["--help"], "run"), (["run", "--help"], "--list-parameters"), (["report", "--help"], "index page"), (["data", "list", "--help"], "on this machine")])
def test_help_teaches(args, expected):
    code, out, err = call(*args)
    assert code == 0 and expected in out and not err


def test_run_help_has_examples():
    out = call("run", "--help")[1]
    assert "Examples" in out and "biosig-nb run mitbih_ptb --preset quick -p seed=3" in " ".join(out.split())


MISTAKES = {
    "study": (["run", "mitbih"], "unknown study 'mitbih'; did you mean 'mitbih_ptb'?"),
    "no such study": (["run", "nosuch"], "unknown study 'nosuch'; choose from: mitbih_ptb, ctg_ne, icentia_af, ptbxl_g12ec, fetal_head"),
    "parameter": (["run", "mitbih_ptb", "-p", "epochz=3"], "mitbih_ptb has no parameter 'epochz'; choose from: preset,"),
    "near parameter": (["run", "mitbih_ptb", "-p", "n_fold=3"], "did you mean 'n_folds'?"),
    "no parameter lr": (["run", "mitbih_ptb", "-p", "lr=fast"], "mitbih_ptb has no parameter 'lr'"),
    "type": (["run", "mitbih_ptb", "-p", "max_updates=fast"], "parameter max_updates: expected a whole number, found 'fast'"),
    "range": (["run", "mitbih_ptb", "-p", "shared=1.5"], "parameter shared: 1.5 lies outside 0 to 1"),
    "choice": (["run", "mitbih_ptb", "-p", "arms=scratch,ful"], "parameter arms: 'ful' is no choice; did you mean 'full'?"),
    "no baseline": (["run", "mitbih_ptb", "-p", "arms=full"], "parameter arms: 'full' lacks 'scratch', which the others are compared with"),
    "file as folder": (["run", "mitbih_ptb", "--out", __file__], "Not a directory; choose a folder that can be written to with --out"),
    "pair": (["run", "mitbih_ptb", "-p", "seed"], "-p seed: expected NAME=VALUE"),
    "preset": (["run", "mitbih_ptb", "--preset", "quik"], "parameter preset: 'quik' is no choice; did you mean 'quick'?"),
    "two presets": (["run", "mitbih_ptb", "--preset", "quick", "-p", "preset=full"], "--preset quick and -p preset=full disagree: give one of them"),
    "own folder": (["run", "mitbih_ptb", "--source", "./mine"], "source './mine': a folder of your own as target is not possible yet; choose from: simulated, real"),
    "run folder": (["run", "mitbih_ptb", "-p", "run_dir=x"], "the runner chooses the run folder; --out says below which folder"),
    "command": (["rnu", "mitbih_ptb"], "unknown command 'rnu'; did you mean 'run'?"),
    "option": (["run", "mitbih_ptb", "--prest", "quick"], "No such option: --prest"),
    "argument": (["run"], "Missing argument 'STUDY'"),
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
        code, _, err = call("run", "mitbih_ptb", "--source", "real", *where, cwd=tmp_path)
        assert code == 2 and err.count("\n") == 1 and "https://physionet.org/content/mitdb/1.0.0/" in err and str(tmp_path / "mitdb" / "1.0.0") in err
    assert str(tmp_path / "elsewhere") in call("run", "mitbih_ptb", "-p", "source=real", cwd=tmp_path, env={"BIOSIG_DATA": str(tmp_path / "elsewhere")})[2]
    assert not list(tmp_path.iterdir())


def test_list_parameters_shows_presets():
    code, out, _ = call("run", "mitbih_ptb", "--list-parameters")
    rows = [line.split("\t") for line in out.splitlines()]
    assert code == 0 and rows[0] == ["parameter", "smoke", "quick", "full", "allowed", "meaning"] and all(len(r) == 6 for r in rows)
    assert {"seed", "arms", "n_folds"} <= {r[0] for r in rows} and "run_dir" not in {r[0] for r in rows}


def test_data_list(tmp_path):
    code, out, _ = call("data", "list", "--data-root", tmp_path)
    assert code == 0 and {"mitdb", "ptbdb", "ptb-xl", "hc18"} <= {line.split("\t")[0] for line in out.splitlines()}
    assert {line.split("\t")[2] for line in out.splitlines()[1:]} == {"no"}


@pytest.mark.realdata
def test_data_list_sees_what_is_there():
    if not os.environ.get("BIOSIG_DATA"): pytest.skip("BIOSIG_DATA names no folder of recordings")
    out = call("data", "list", env={"BIOSIG_DATA": os.environ["BIOSIG_DATA"]})[1]
    rows = {line.split("\t")[0]: line.split("\t") for line in out.splitlines()}
    assert rows["mitdb"][2] in ("partly", "yes") and int(rows["mitdb"][3].split(" of ")[0]) >= 8
