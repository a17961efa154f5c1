"biosig-nb own: a template that passes, problems with exit code 1, mistakes with exit code 2."

import os
import stat

import pytest

from biosig_nb.cli import main
from biosig_nb.studies.folders import find_studies
from biosig_nb.studies.study_yaml import load_config


def call(capsys, *args):
    "Exit code, standard output and standard error."
    with pytest.raises(SystemExit) as e:
        main([str(arg) for arg in args])
    return e.value.code, *capsys.readouterr()


WITH_OWN = [name for name in find_studies() if load_config(name)["own"]]


@pytest.mark.parametrize("study", WITH_OWN)
def test_the_template_of_each_study_passes(study, tmp_path, capsys):
    code, out, error = call(capsys, "own", "init", tmp_path / "mine", "--like", study)
    assert (code, error) == (0, "")
    assert (tmp_path / "mine/README.txt").read_text().count(study) == 2
    code, out, error = call(capsys, "own", "check", tmp_path / "mine", "--like", study)
    assert (code, error) == (0, "")
    assert out.splitlines()[0] == "no problem found"
    assert "\x1b" not in out
    code, out, error = call(capsys, "own", "check", tmp_path / "mine")
    assert (code, out.splitlines()[0]) == (0, "no problem found")


def test_problems_mistakes_and_what_exists(tmp_path, capsys):
    mine = tmp_path / "mine"
    call(capsys, "own", "init", mine, "--like", "ctg_ne")
    code, out, error = call(capsys, "own", "init", mine, "--like", "ctg_ne")
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert "exist already, nothing was written" in error
    (mine / "example_2.csv").unlink()
    code, out, error = call(capsys, "own", "check", mine, "--like", "ctg_ne")
    assert (code, error) == (1, "")
    assert out.startswith("1 problem:\n  records.csv: there is no file 'example_2'")
    code, out, error = call(capsys, "own", "check", tmp_path / "no", "--like", "ctg_ne")
    assert (code, out) == (1, "1 problem:\n  no: no such folder; correct the path\n")
    for args, part in (
        (["own", "init", mine, "--like", "ctg"], "did you mean 'ctg_ne'?"),
        (["own", "check", mine, "--like", "ctg_ne", "-p", "n_flods=3"], "did you mean 'n_folds'?"),
        (["own", "check", tmp_path], "--like STUDY says what the recordings are for"),
        (["own", "init", mine], "Missing option"),
    ):
        code, out, error = call(capsys, *args)
        assert (code, out, error.count("\n")) == (2, "", 1), args
        assert part in error


def test_the_umask_decides_who_may_read_a_template(tmp_path, capsys):
    before = os.umask(0o077)
    try:
        call(capsys, "own", "init", tmp_path / "mine", "--like", "ctg_ne")
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(p.stat().st_mode) & 0o077 for p in (tmp_path / "mine").rglob("*")}
    assert modes == {0}
