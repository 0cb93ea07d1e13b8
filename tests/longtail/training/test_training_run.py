"""A tracked training that is killed and resumed: its run tells the same story as that of an uninterrupted one."""

import numpy as np
import pytest

from gradlens.longtail.training.checkpoint import FILE
from gradlens.longtail.training.training_run import RESULT
from gradlens.runlog import Run
from tests.longtail.processes import in_a_process
from tests.longtail.resumable_training import train_tracked


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tracked") / "run"
    in_a_process(train_tracked, folder)
    return Run(folder)


@pytest.mark.parametrize("kill", ["I 1", "I 4", "II 6"])
def test_a_killed_and_resumed_run_tells_the_same_story(tmp_path, uninterrupted, kill):
    folder = tmp_path / "run"
    in_a_process(train_tracked, folder, kill_after=kill)
    assert Run(folder).status.state == "killed"
    assert (folder / FILE).exists()
    in_a_process(train_tracked, folder, resume=True)
    run = Run(folder)
    assert run.status.state == "finished"
    assert (folder / RESULT).exists()
    assert [(p.name, p.start) for p in run.phases] == [(p.name, p.start) for p in uninterrupted.phases]
    # A kill may cost what had not been written yet, up to a second; what is there must be the same.
    steps = np.asarray(uninterrupted.steps)
    assert set(run.steps.tolist()) <= set(steps.tolist())
    assert np.all(np.diff(run.steps) > 0)
    kept = np.isin(steps, run.steps)
    assert run.names == uninterrupted.names
    np.testing.assert_array_equal(run.gram(), uninterrupted.gram()[kept])
    np.testing.assert_array_equal(run.epoch, np.asarray(uninterrupted.epoch)[kept])
    theirs = {(e["epoch"], e["overall"]) for e in uninterrupted.evaluations if "overall" in e}
    ours = [(e["epoch"], e["overall"]) for e in run.evaluations if "overall" in e]
    assert len(set(ours)) == len(ours)
    assert set(ours) <= theirs
    assert len(theirs) == 8
    # every second epoch of each phase, wherever the training was resumed
    assert {probe.label for probe in uninterrupted.probes} == {"epoch 2", "epoch 4", "epoch 6", "epoch 8"}
    assert {probe.label for probe in run.probes} <= {probe.label for probe in uninterrupted.probes}
    assert "epoch 8" in {probe.label for probe in run.probes}
