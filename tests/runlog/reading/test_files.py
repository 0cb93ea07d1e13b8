"""The files of a run's folder, while they change."""

import shutil

import numpy as np
import pytest

from gradlens.runlog import NotARun, Run
from tests.runlog.made import measurement, write_run


def test_folders_that_are_no_runs(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "run.json").write_text('{"name": "someone else\'s"}')
    (tmp_path / "file").write_text("x")
    for path, message in [
        ("other", "not written by gradlens"),
        ("file", "is no folder"),
        ("nowhere", "is no folder"),
        ("", "no run.json"),
    ]:
        with pytest.raises(NotARun, match=message):
            Run(tmp_path / path)


def test_another_run_in_the_same_folder(tmp_path):
    write_run(tmp_path / "run", range(100))
    run = Run(tmp_path / "run")
    run.cosine("tail")
    shutil.rmtree(tmp_path / "run")
    assert run.refresh() is False
    write_run(tmp_path / "run", range(1000, 1005))
    run.refresh()
    assert run.steps.tolist() == list(range(1000, 1005))
    np.testing.assert_allclose(run.cosine("tail"), [measurement(s).cosine("tail") for s in range(1000, 1005)])


def test_the_name_of_a_run_is_answered_with_its_folder(tmp_path, monkeypatch):
    write_run(tmp_path / "runs" / "lt", range(10))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotARun, match=r"lt is no folder; give the folder of a run \(did you mean runs/lt\?\)"):
        Run("lt")
    with pytest.raises(NotARun, match=r"other is no folder; give the folder of a run \(gradlens ls lists them\)"):
        Run("other")
