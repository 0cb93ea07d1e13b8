"""What settings of a method make, and which are refused."""

import pytest
import torch

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods import CE, DUAL_PHASE, PLAIN
from gradlens.longtail.recipe.learner import derived_seed
from gradlens.longtail.tasks.digits import digits_task
from tests.longtail.watched import watched


@pytest.mark.parametrize(
    ("method", "change", "says"),
    [
        (DUAL_PHASE, {"head_classes": 0}, "head_classes=0 of 10"),
        (DUAL_PHASE, {"head_classes": 10}, "give 1..9"),
        (DUAL_PHASE, {"memory": 0}, "memory=0"),
        (DUAL_PHASE, {"selection": "best"}, "selection='best'"),
        (DUAL_PHASE, {"retention_weight": -1.0}, "retention_weight=-1.0"),
        (DUAL_PHASE, {"sampler_2": "odd"}, "sampler 'odd'"),
        (CE, {"classifier": "svm"}, "classifier='svm'"),
        (CE, {"epochs": 0}, "epochs=0"),
        (CE, {"learning_rate": 0.0}, "learning rate 0.0"),
        (CE, {"schedule": "wavy"}, "schedule='wavy'"),
    ],
)
def test_values_that_cannot_work_are_refused_before_training(method, change, says):
    with pytest.raises(LongTailError, match=says):
        method.on(digits_task(), change)


@pytest.mark.parametrize(("method", "signed"), [(DUAL_PHASE, True), (PLAIN, True), (CE, False)])
def test_features_are_signed_where_the_classifier_takes_cosines(task, method, signed):
    torch.manual_seed(derived_seed(0, "network"))
    network = method.on(task).network().eval()
    images, _ = next(task.train.batches(torch.arange(50), 50, augmented=False))
    assert bool((network.embed(images) < 0).any()) is signed


def test_phase_two_has_its_own_learning_rate(task):
    changes = {"epochs": 1, "learning_rate": 0.08, "schedule": "steps", "warm_up": 0, "steps_at": [2.0]}
    same = watched(DUAL_PHASE.on(task, changes), task).rates
    own = watched(DUAL_PHASE.on(task, changes | {"learning_rate_2": 0.02}), task).rates
    assert {phase: set(rates) for phase, rates in same.items()} == {"I": {0.08}, "II": {0.08}}
    assert {phase: set(rates) for phase, rates in own.items()} == {"I": {0.08}, "II": {0.02}}
