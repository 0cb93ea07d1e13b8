"""Choosing a setting of the classifier: each value is evaluated as an evaluation would, and the first of the best is kept."""

import dataclasses

import pytest
import torch
from torch import nn

from gradlens.longtail.recipe.phases import TrainingPhase
from gradlens.longtail.recipe.tuning import Tuning
from gradlens.longtail.training.evaluation import evaluate
from gradlens.longtail.training.fit import fit
from tests.distributed.processes import together
from tests.longtail.tiny_training import tiny_recipe, tiny_task


class Shifted(nn.Module):
    """Adds a multiple of the class number to the logits."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner
        self.register_buffer("shift", torch.zeros(()))

    def forward(self, features):
        logits = self.inner(features)
        return logits + self.shift * torch.arange(logits.shape[1])


def set_shift(classifier, value):
    classifier.shift.fill_(value)


def shifted(learner):
    learner.model.classifier = Shifted(learner.model.classifier)


VALUES = (5.0, -50.0, 0.0, -0.5, 0.25, 50.0, 60.0)


def tuned(task, values=VALUES):
    recipe = tiny_recipe(task)
    last = TrainingPhase("shift", 0, {}, structure=shifted, tuning=Tuning("shift", values, set_shift))
    return fit(dataclasses.replace(recipe, phases=(*recipe.phases, last)), task)


def chosen_and_expected(task):
    """Returns what was chosen, and the accuracy of each value by an evaluation in this process alone."""
    fitted = tuned(task)
    model, expected = fitted.learner.model, []
    for value in VALUES:
        set_shift(model.classifier, value)
        expected.append(evaluate(model, task.evaluations["test"], task.counts).numbers["overall"])
    return fitted.history[-1]["chosen"], fitted.final["test"]["overall"], expected


def test_each_value_is_evaluated_and_the_first_of_the_best_is_kept():
    task = tiny_task()
    chosen, final, expected = chosen_and_expected(task)
    assert len(set(expected)) > 2
    assert chosen["tried"] == list(VALUES)
    assert chosen["accuracies"] == pytest.approx(expected)
    assert chosen["value"] == VALUES[expected.index(max(expected))]
    assert final == pytest.approx(max(expected))
    assert tuned(task, (60.0, 50.0)).history[-1]["chosen"]["value"] == 60.0  # equally bad: the first one


def test_processes_share_the_images_and_choose_alike(tmp_path):
    first, second = together(tmp_path, chosen_and_expected, tiny_task())
    assert first == second
    assert first[0]["accuracies"] == pytest.approx(first[2])
