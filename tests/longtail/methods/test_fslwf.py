"""FSLwF: its phases, what an episode trains, what the few-shot classes get, and what is refused."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
import torch.nn.functional as F

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods import find_method
from gradlens.longtail.recipe.batch import Batch
from gradlens.longtail.recipe.optimization import Steps
from gradlens.longtail.recipe.phases import NO_CLASS
from gradlens.longtail.recipe.visiting import PhaseProgress
from gradlens.longtail.training.fit import fit
from gradlens.longtail.training.watcher import Unwatched
from tests.longtail.tiny_training import tiny_task

# the digits have 124, 80, 51, 33, 21 and 14, 9, 5, 3, 2 images


@pytest.fixture(scope="module")
def fitted(task):
    return fit(find_method("fslwf").on(task, {"epochs": 20, "epochs_2": 2}), task, evaluate_every=20)


def test_the_tail_is_told_from_generated_weights(fitted):
    first, second = (row for row in fitted.history if "overall" in row)
    assert first["few"] == 0
    assert second["few"] > 20
    assert second["overall"] > first["overall"] + 10


def test_the_weights_of_the_tail_come_from_all_its_images(fitted, task):
    classifier = fitted.learner.model.classifier
    tail = torch.nonzero(task.train.labels >= 5).flatten()
    assert torch.equal(classifier.owners, task.train.labels[tail] - 5)
    assert torch.equal(classifier.exemplars, fitted.learner.features(tail))
    assert torch.bincount(classifier.owners).tolist() == [14, 9, 5, 3, 2]
    assert classifier.weights().shape == (10, 64)


class Kept(Unwatched):
    """Keeps the state at the start and the end of each phase, and the steps."""

    def __init__(self):
        self.starts, self.ends, self.steps = {}, {}, {}

    def start_phase(self, phase, learner, optimizer, step, done):
        self.starts[phase.name] = copy.deepcopy(learner.model.state_dict())

    def backward(self, losses, step):
        self.steps.setdefault(step.labels.min().item() == NO_CLASS, []).append(step)
        super().backward(losses, step)

    def end_epoch(self, row, learner):
        self.ends[row["phase"]] = copy.deepcopy(learner.model.state_dict())


def test_phase_2_trains_the_classifier_and_leaves_the_backbone_alone(task):
    kept = Kept()
    fit(find_method("fslwf").on(task, {"epochs": 1}), task, watcher=kept)
    changed = {name for name, value in kept.ends["II"].items() if not torch.equal(value, kept.starts["II"][name])}
    assert changed == {
        "classifier.base.weight",
        "classifier.base.scale",
        "classifier.generator.of_mean",
        "classifier.generator.of_recalled",
        "classifier.generator.query.weight",
        "classifier.generator.query.bias",
        "classifier.generator.keys",
        "classifier.generator.sharpness",
    }
    for step in kept.steps[True]:  # 3 of 5 classes play new: 5 exemplars and 6 queries of each, 9 of the others
        assert step.logits.shape == (42, 5)
        assert (step.labels[:15] == NO_CLASS).all()
        assert (step.labels[15:] >= 0).all()
    assert len(kept.steps[True]) == 309 // 42


def test_a_step_classifies_its_queries_by_the_weights_of_its_exemplars(fitted, task):
    learner, phase = fitted.learner, fitted_phase(task)
    rows = phase.visiting(task.train.labels[learner.selected], PhaseProgress(0, 1), torch.Generator().manual_seed(0))
    images, labels = next(iter(task.train.batches(learner.selected[rows], 42, augmented=False)))
    step = phase.forward(learner, PhaseProgress(0, 1), Batch(images, labels), torch.Generator())
    features = learner.features(learner.selected[rows[:42]])
    classifier, novel = learner.model.classifier, labels[:15:5]
    others = torch.tensor(sorted(set(range(5)) - set(novel.tolist())))
    weights = classifier.base.weight.detach().clone()
    for place, label in enumerate(novel.tolist()):
        own = features[5 * place : 5 * place + 5]
        weights[label] = classifier.generator(own, torch.zeros(5, dtype=int), 1, weights[others], others)[0].detach()
    cosines = F.cosine_similarity(features[:, None], weights[None], dim=2)
    assert torch.allclose(step.logits, classifier.base.scale * cosines, atol=1e-4)
    loss = phase.losses["classification"](step)
    expected = F.cross_entropy(step.logits[15:], labels[15:])
    assert torch.allclose(loss, expected)


def fitted_phase(task):
    return find_method("fslwf").on(task).phases[1]


def test_the_second_phase_has_the_steps_of_the_reference(task):
    phase = fitted_phase(task)
    assert phase.schedule == Steps((2 / 3,), 0.1)
    assert [phase.schedule.factor(epoch, 6) for epoch in (3, 4)] == [1.0, 0.1]
    assert (phase.sgd.learning_rate, phase.batch, phase.epochs) == (0.01, 42, 30)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"head_classes": 1}, "needs two base classes"),
        ({"head_classes": 10}, "head_classes=10 of 10"),
        ({"exemplars": 18}, "18 exemplars and 6 queries of a base class, and the smallest one of digits has 21 images"),
        ({"head_classes": 9}, "the smallest one of digits has 3 images"),
        ({"exemplars": 0}, "exemplars=0"),
        ({"queries": 0}, "queries=0"),
        ({"episodes": 0}, "episodes=0"),
        ({"novel_share": 1.0}, "novel_share=1.0"),
        ({"sharpness": 0.0}, "sharpness=0.0"),
        ({"learning_rate_2": 0.0}, "learning_rate_2=0.0"),
        ({"scale": 0.0}, "scale=0.0"),
    ],
)
def test_settings_that_cannot_work_are_refused(task, change, says):
    with pytest.raises(LongTailError, match=says):
        find_method("fslwf").on(task, change)


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ((30,), "fslwf needs at least two classes, and tiny has 1"),
        ((30, 25, 22), "C1 = 3 of 3 classes have at least 20 images"),
        ((9, 8, 7), "C1 = 0 of 3 classes"),
        ((30, 25, 0, 3), "class 2 of tiny has no training image"),
    ],
)
def test_counts_that_cannot_work_are_refused(task, counts, says):
    tiny = tiny_task(counts)
    with pytest.raises(LongTailError, match=says):
        find_method("fslwf").on(dataclasses.replace(tiny, settings=task.settings))


def test_one_class_plays_new_where_there_are_two(task):
    tiny = dataclasses.replace(tiny_task((30, 25, 3)), settings=task.settings)
    episodes = find_method("fslwf").on(tiny).phases[1].visiting
    assert (episodes.novel, episodes.support, episodes.size) == (1, 5, 14)
