"""The description of a run: its facts come back."""

import json

import pytest

from gradlens.runlog import Run, RunMeta, RunTooNew, RunWriter, list_runs
from tests.runlog.made import GROUPS, write_run


def test_a_newer_version_is_refused(four_batches, tmp_path):
    obj = json.loads((four_batches / "run.json").read_text())
    (four_batches / "run.json").write_text(json.dumps({**obj, "schema": 2, "gradlens": "9.0"}))
    with pytest.raises(RunTooNew, match=r"schema version 2, written by gradlens 9\.0.*up to 1: update gradlens"):
        Run(four_batches)
    with pytest.raises(RunTooNew):
        write_run(four_batches, [500], resume=True)
    (found,) = list_runs(tmp_path)
    assert isinstance(found[1], RunTooNew)


def test_description_comes_back(tmp_path):
    facts = RunMeta.here(
        GROUPS.to_json(),
        seed=3,
        engine="split",
        class_counts=(5.0, 4.0, 3.0, 1.0),
        hyperparameters={"lr": 0.1, "bad": float("inf")},
    )
    writer = RunWriter(tmp_path / "run", facts)
    writer.update_meta(timings={"plain": 0.5}, dataset="digits")
    writer.update_meta(timings={"measured": 0.75})
    writer.close("failed", "ValueError: no")
    run = Run(tmp_path / "run")
    assert (run.meta.seed, run.meta.engine, run.meta.dataset, run.meta.class_counts) == (
        3,
        "split",
        "digits",
        (5.0, 4.0, 3.0, 1.0),
    )
    assert run.meta.timings == {"plain": 0.5, "measured": 0.75}
    assert run.meta.hyperparameters == {"lr": 0.1, "bad": None}
    assert run.meta.torch
    assert (run.status.state, run.status.reason, run.status.live) == ("failed", "ValueError: no", False)
    assert run.meta.started <= run.meta.ended
