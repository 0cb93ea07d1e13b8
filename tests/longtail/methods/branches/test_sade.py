"""SADE: its three losses by hand, the reversed order, and what is refused."""

import dataclasses
import math
from types import SimpleNamespace

import pytest
import torch

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods import find_method
from gradlens.longtail.methods.branches.sade import reversed_order
from gradlens.longtail.recipe.phases import Step
from gradlens.longtail.recipe.processes import Processes
from gradlens.longtail.recipe.visiting import PhaseProgress
from tests.longtail.tiny_training import tiny_task
from tests.longtail.watched import watched

SADE = find_method("sade")
COUNTS = [124, 80, 51, 33, 21, 14, 9, 5, 3, 2]


def test_its_three_losses_by_hand(task):
    """exp(log pi) = n / N and exp(log pi - 2 log pi') = (n / N) (N / n')^2 stand before the exponentials of the logits."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 3, 10, dtype=torch.float64, generator=generator)
    labels = torch.tensor([0, 9, 4])
    total = sum(COUNTS)
    factors = {
        "frequent": [1.0] * 10,
        "balanced": [n / total for n in COUNTS],
        "rare": [n / total * (total / r) ** 2 for n, r in zip(COUNTS, reversed(COUNTS), strict=True)],
    }
    classifier = SimpleNamespace(one=lambda features, expert: features.reshape(-1, 3, 10)[:, expert])
    learner = SimpleNamespace(model=SimpleNamespace(classifier=classifier), processes=Processes())
    features = logits.flatten(1)
    step = Step(learner, PhaseProgress(0, 1), features, labels, features, logits.mean(1))
    losses = SADE.on(task).phases[0].losses
    assert list(losses) == list(factors)
    for e, (name, factor) in enumerate(factors.items()):
        expected = 0.0
        for row, label in zip(logits[:, e].tolist(), labels.tolist(), strict=True):
            odds = [f * math.exp(value) for f, value in zip(factor, row, strict=True)]
            expected -= math.log(odds[label] / sum(odds)) / 3
        assert float(losses[name](step)) == pytest.approx(expected, rel=1e-5), name  # 1e-9 is added to frequencies


def test_the_reversed_order_follows_ranks_not_places():
    assert reversed_order(torch.tensor([0.5, 0.3, 0.2])).tolist() == pytest.approx([0.2, 0.3, 0.5])
    assert reversed_order(torch.tensor([0.3, 0.2, 0.5])).tolist() == pytest.approx([0.3, 0.5, 0.2])


def test_a_training_shows_each_image_once_to_all_experts(task):
    batches = watched(SADE.on(task, {"epochs": 1}), task).labels["all classes", 0]
    assert torch.bincount(torch.cat(batches)).tolist() == COUNTS


def test_a_class_without_images_is_refused(task):
    tiny = tiny_task((6, 3, 2))
    tiny.train.labels = torch.tensor([0] * 6 + [2] * 5)
    with pytest.raises(LongTailError, match="sade needs training images of each class, and 1 of 3"):
        SADE.on(dataclasses.replace(tiny, settings=task.settings))


def test_one_class_has_no_reversed_order(task):
    with pytest.raises(LongTailError, match="sade needs at least two classes, and tiny has 1"):
        SADE.on(dataclasses.replace(tiny_task((6,)), settings=task.settings))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"experts": 4}, "experts=4; sade has one loss for each of 3 experts"),
        ({"tau": -1.0}, "tau=-1.0"),
        ({"scale": 0.0}, "scale=0.0"),
    ],
)
def test_settings_that_cannot_work_are_refused(task, change, says):
    with pytest.raises(LongTailError, match=says):
        SADE.on(task, change)
