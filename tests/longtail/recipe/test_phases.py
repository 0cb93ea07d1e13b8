"""Phases without epochs: what they set is evaluated, kept and on record like what an epoch trains."""

import dataclasses
import json

import pytest
import torch
import torch.nn.functional as F

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods import CE
from gradlens.longtail.methods.parts.cosine import CosineClassifier
from gradlens.longtail.methods.parts.prototypes import class_prototypes
from gradlens.longtail.recipe.phases import TrainingPhase
from gradlens.longtail.recipe.tuning import Tuning
from gradlens.longtail.training.checkpoint import FILE, phase_file
from gradlens.longtail.training.fit import fit
from gradlens.longtail.training.training_run import RESULT, run_training
from gradlens.longtail.training.watching import Watching
from gradlens.runlog import Run
from tests.longtail.same_state import assert_same

WATCHING = Watching(every=1, probe_every=0)


def cosine(learner):
    learner.model.classifier = CosineClassifier(learner.model.features, learner.num_classes)


def nearest_mean(learner):
    everything = torch.arange(len(learner.train.labels))
    means = class_prototypes(learner.features(everything), learner.train.labels, learner.num_classes)
    learner.model.classifier.weight.data.copy_(means)


NCM = TrainingPhase("NCM", 0, {}, structure=cosine, initialise=nearest_mean)


def recipe(task, *phases):
    ce = CE.on(task, {"epochs": 2})
    return dataclasses.replace(ce, phases=tuple(ce.phases[0] if phase is None else phase for phase in phases))


@torch.no_grad()
def accuracy_of_nearest_means(model, task):
    """Computed from the features alone."""
    model.eval()
    both = []
    for data in (task.train, task.evaluations["test"]):
        images, labels = next(data.batches(torch.arange(len(data.labels)), len(data.labels), augmented=False))
        both.append((F.normalize(model.embed(images), dim=1), labels))
    (train, labels), (test, truth) = both
    means = torch.stack([train[labels == c].mean(0) for c in range(10)])
    return 100 * ((test @ F.normalize(means, dim=1).T).argmax(1) == truth).double().mean().item()


def test_nearest_class_means_after_training_are_the_result(task, tmp_path):
    done = run_training(recipe(task, None, NCM), task, tmp_path / "run", watching=WATCHING)
    expected = pytest.approx(accuracy_of_nearest_means(done.fitted.learner.model, task))
    assert done.result["last"]["test"]["overall"] == expected
    assert done.result["best"]["overall"] == expected  # far better than two epochs of the linear classifier
    rows = done.fitted.history
    assert [(row["phase"], row["epoch"]) for row in rows] == [("all classes", 1), ("all classes", 2), ("NCM", 2)]
    assert rows[-1]["overall"] == expected
    assert rows[-1]["overall"] > rows[1]["overall"]
    run = Run(tmp_path / "run")
    steps = done.result["steps"]
    assert run.status.state == "finished"
    assert [(phase.name, phase.start) for phase in run.phases] == [("all classes", 0), ("NCM", steps)]
    entered, result = (next(e for e in run.events if e["kind"] == kind) for kind in ("phase-entered", "result"))
    assert (entered["phase"], entered["overall"], entered["step"]) == ("NCM", expected, steps)
    assert (result["best_epoch"], result["overall"]) == (2, expected)
    assert (run.evaluations[-1]["overall"], run.evaluations[-1]["epoch"]) == (expected, 1)
    # what was known of the run of the first phase stays
    assert len(run.steps) == steps
    assert len(run.layers) > 1
    assert run.meta.engine == "masked"


def test_a_recipe_may_be_one_such_phase(task, tmp_path):
    done = run_training(recipe(task, NCM), task, tmp_path / "run", watching=WATCHING)
    expected = pytest.approx(accuracy_of_nearest_means(done.fitted.learner.model, task))
    assert (done.result["best"]["epoch"], done.result["best"]["overall"]) == (0, expected)
    assert json.loads((tmp_path / "run" / RESULT).read_text())["seconds_training"] == 0
    run = Run(tmp_path / "run")
    assert run.status.state == "finished"
    assert [phase.name for phase in run.phases] == ["NCM"]
    assert next(e for e in run.events if e["kind"] == "result")["overall"] == expected
    assert run.meta.class_counts == tuple(task.counts.tolist())


def test_training_goes_on_after_one(task, tmp_path):
    second = dataclasses.replace(CE.on(task, {"epochs": 1}).phases[0], name="after")
    done = run_training(recipe(task, None, NCM, second), task, tmp_path / "run", watching=WATCHING)
    assert [row["epoch"] for row in done.fitted.history] == [1, 2, 2, 3]
    run = Run(tmp_path / "run")
    assert run.steps.tolist() == list(range(done.fitted.steps))
    # at the step at which training goes on there is no room for a phase without steps, but its evaluation is kept
    assert [phase.name for phase in run.phases] == ["all classes", "after"]
    assert [row["overall"] for row in run.evaluations] == [row["overall"] for row in done.fitted.history]
    assert run.epoch[-1] == 2
    assert (tmp_path / "run" / phase_file(1)).exists()


def test_a_setting_is_not_chosen_in_a_phase_that_trains():
    with pytest.raises(LongTailError, match="phase 'x' has 2 epochs, and tau is to be chosen"):
        TrainingPhase("x", 2, {}, tuning=Tuning("tau", (0.0, 1.0), print))


def test_what_it_set_is_in_the_checkpoint(task, tmp_path):
    whole = recipe(task, None, NCM)
    first = fit(whole, task, folder=tmp_path)
    stored = torch.load(tmp_path / FILE, weights_only=True)
    assert_same(dict(stored["model"]), dict(first.learner.model.state_dict()))
    again = fit(whole, task, folder=tmp_path, resume=True)
    assert_same(again.history, first.history)
    assert again.final == first.final
    # cut short before the means were set
    (tmp_path / FILE).write_bytes((tmp_path / phase_file(0)).read_bytes())
    assert_same(fit(whole, task, folder=tmp_path, resume=True).history, first.history)
