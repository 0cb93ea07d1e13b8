"""What settings of a method make, and which are refused."""

import math

import pytest
import torch

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods import CE, DUAL_PHASE, PLAIN, find_method
from gradlens.longtail.methods.common import sgd
from gradlens.longtail.recipe.learner import derived_seed
from gradlens.longtail.tasks.digits import digits_task
from gradlens.longtail.tasks.photos import PLACES_SETTINGS
from tests.longtail.watched import watched

STEPS = {"schedule": "steps"}


@pytest.mark.parametrize(
    ("method", "change", "says"),
    [
        (DUAL_PHASE, {"head_classes": 0}, "head_classes=0 of 10"),
        (DUAL_PHASE, {"head_classes": 10}, "give 1..9"),
        (DUAL_PHASE, {"memory": 0}, "memory=0"),
        (DUAL_PHASE, {"selection": "best"}, "selection='best'"),
        (DUAL_PHASE, {"retention_weight": -1.0}, "retention_weight=-1.0"),
        (DUAL_PHASE, {"retention_weight": float("inf")}, "retention_weight=inf"),
        (DUAL_PHASE, {"intra_margin": float("nan")}, "intra_margin=nan"),
        (DUAL_PHASE, {"tau": float("inf")}, "tau=inf"),
        (DUAL_PHASE, {"sampler_2": "odd"}, "sampler 'odd'"),
        (CE, {"classifier": "svm"}, "classifier='svm'"),
        (CE, {"epochs": 0}, "epochs=0"),
        (CE, {"learning_rate": 0.0}, "learning rate 0.0"),
        (CE, {"learning_rate": float("inf")}, "learning rate inf"),
        (CE, {"weight_decay": float("nan")}, "weight decay nan"),
        (CE, STEPS | {"steps_by": -0.1}, "steps_by=-0.1; it must be a finite number above 0"),
        (CE, STEPS | {"steps_at": [0.5, float("nan")]}, r"steps_at=\[0.5, nan\]; give parts of the epochs"),
        (CE, STEPS | {"steps_at": [-0.5]}, r"steps_at=\[-0.5\]"),
        (find_method("crt"), {"schedule_2": "steps", "steps_by_2": 0.0}, "steps_by_2=0.0"),
        (find_method("crt"), {"learning_rate_2": float("inf")}, "learning_rate_2=inf"),
        (find_method("logit-adjustment"), {"tau": float("inf")}, "tau=inf"),
        (CE, {"schedule": "wavy"}, "schedule='wavy'"),
        (
            CE,
            STEPS | {"steps_at": [160, 180]},
            r"steps_at=\[160.0, 180.0\]; give parts of the epochs, from 0 to 1",
        ),
        (PLAIN, {"scale": math.inf}, "scale=inf"),
        (find_method("ldam"), {"scale": math.inf}, "scale=inf"),
        (find_method("crt"), {"schedule_2": "steps", "steps_at_2": [10.0]}, r"steps_at_2=\[10.0\]"),
        (find_method("fslwf"), {"steps_at_2": [4]}, r"steps_at_2=\[4.0\]"),
        (find_method("fslwf"), {"steps_by_2": 0.0}, "steps_by_2=0.0"),
    ],
)
def test_values_that_cannot_work_are_refused_before_training(method, change, says):
    with pytest.raises(LongTailError, match=says):
        method.on(digits_task(), change)


def test_a_classifier_does_not_climb():
    with pytest.raises(LongTailError, match=r"classifier_learning_rate=-0\.05"):
        sgd(PLACES_SETTINGS.changed({"classifier_learning_rate": -0.05}))


@pytest.mark.parametrize(("method", "signed"), [(DUAL_PHASE, True), (PLAIN, True), (CE, False)])
def test_features_are_signed_where_the_classifier_takes_cosines(task, method, signed):
    torch.manual_seed(derived_seed(0, "network"))
    network = method.on(task).network().eval()
    images, _ = next(task.train.batches(torch.arange(50), 50, augmented=False))
    assert bool((network.embed(images) < 0).any()) is signed


def test_phase_two_has_its_own_learning_rate(task):
    changes = {"epochs": 1, "learning_rate": 0.08, "schedule": "steps", "warm_up": 0, "steps_at": []}
    same = watched(DUAL_PHASE.on(task, changes), task).rates
    own = watched(DUAL_PHASE.on(task, changes | {"learning_rate_2": 0.02}), task).rates
    assert {phase: set(rates) for phase, rates in same.items()} == {"I": {0.08}, "II": {0.08}}
    assert {phase: set(rates) for phase, rates in own.items()} == {"I": {0.08}, "II": {0.02}}
