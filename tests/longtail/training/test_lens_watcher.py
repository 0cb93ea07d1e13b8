"""A training of the lab as one run: at which step each event stands, and what is measured."""

import dataclasses

import numpy as np
import pytest
import torch.nn.functional as F

from gradlens.longtail.training.fit import fit
from gradlens.longtail.training.lens_watcher import LensWatcher
from gradlens.longtail.training.watching import Watching
from gradlens.runlog import Run
from tests.longtail.tiny_training import tiny_recipe, tiny_task


def trained(folder, recipe, task, **watching):
    watcher = LensWatcher(
        recipe, task, folder, Watching(**watching), seed=5, resume=False, facts={"extra": {"note": "mine"}}
    )
    fit(recipe, task, watcher=watcher)
    watcher.close()
    return Run(folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    task = tiny_task()  # 11 images in batches of 4: 3 steps an epoch
    recipe = tiny_recipe(task)
    first = recipe.phases[0]
    recipe = dataclasses.replace(recipe, phases=(first, dataclasses.replace(first, name="again", epochs=1)))
    return trained(tmp_path_factory.mktemp("runs") / "run", recipe, task, every=1, probe_every=2)


def test_the_steps_of_all_phases_are_counted_through(run):
    assert run.steps.tolist() == list(range(9))
    assert run.counts.sum(1).tolist() == [4, 4, 3] * 3
    assert [(phase.name, phase.start) for phase in run.phases] == [("only", 0), ("again", 6)]
    np.testing.assert_array_equal(run.epoch, np.repeat([0, 1, 2], 3))


def test_what_is_said_of_an_epoch_belongs_to_its_last_step(run):
    assert [(e["step"], e["split"]) for e in run.evaluations] == [(2, "test"), (5, "test"), (8, "test")]
    assert [e["step"] for e in run.events if e["kind"] == "epoch"] == [2, 5, 8]
    assert all(0 <= e["overall"] <= 100 for e in run.evaluations)


def test_classes_are_measured_one_by_one_when_it_is_due(run):
    assert [(probe.step, probe.groups.names) for probe in run.probes] == [(5, ("0", "1", "2")), (8, ("0", "1", "2"))]
    assert run.probes[0].counts.tolist() == [6, 3, 2]


def test_the_run_describes_its_training(run):
    assert (run.meta.method, run.meta.dataset, run.meta.seed) == ("tiny", "tiny", 5)
    assert run.meta.class_counts == (6, 3, 2)
    assert run.meta.extra["note"] == "mine"
    assert run.groups == tiny_task().groups()
    assert run.components == ()  # one loss needs no names of its own
    assert run.status.state == "finished"


def test_between_two_phases_a_run_is_not_finished(tmp_path):
    task = tiny_task()
    recipe = tiny_recipe(task)
    first = recipe.phases[0]
    recipe = dataclasses.replace(recipe, phases=(first, dataclasses.replace(first, name="again")))
    watcher = LensWatcher(recipe, task, tmp_path / "run", Watching(every=1), seed=5, resume=False, facts={})
    states = []

    class Watched:
        def __getattr__(self, name):
            return getattr(watcher, name)

        def end_phase(self):
            watcher.end_phase()
            states.append(Run(tmp_path / "run").status.state)
            raise RuntimeError("no exemplars")

    with pytest.raises(RuntimeError, match="no exemplars"):
        fit(recipe, task, watcher=Watched())
    watcher.close("failed", "RuntimeError: no exemplars")

    assert states == ["running"]
    assert Run(tmp_path / "run").status.state == "failed"
    assert Run(tmp_path / "run").status.reason == "RuntimeError: no exemplars"


def test_several_losses_are_measured_apart(tmp_path):
    task = tiny_task()

    def half(step):
        return F.cross_entropy(step.logits, step.labels) / 2

    recipe = tiny_recipe(task, losses={"a": half, "b": half})
    run = trained(tmp_path / "run", recipe, task, every=1)
    assert run.components == ("a", "b")
    np.testing.assert_allclose(run.norm("a"), run.norm("all") / 2, rtol=1e-5)
    np.testing.assert_allclose(run.norm("b"), run.norm("all") / 2, rtol=1e-5)
