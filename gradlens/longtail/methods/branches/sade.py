"""SADE (Zhang et al. 2022, "Self-supervised aggregation of diverse experts for test-agnostic long-tailed recognition").

Three experts share the first stages, as in RIDE. Each is trained for another distribution of classes (Section 4.1):

    L = CE(z_1) + CE(z_2 + log pi) + CE(z_3 + log pi - tau log pi'),

with pi the class frequencies and pi' the same frequencies in reversed order: the most frequent class has the rarest one's.
The first expert is good at frequent classes, the second at all alike, the third at rare ones. The loss follows the code
(Vanint/SADE-AgnosticLT, model/loss.py), in which tau is 2. At test the logits are the mean of the experts'. The paper's weighting
of experts at test time is left out: it is for test sets with other class frequencies, and those here are balanced.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods.branches.experts import (
    EXPERT_SETTINGS,
    ExpertClassifiers,
    check_experts,
    cifar_of_experts,
    expert_network,
    photos_of_experts,
)
from gradlens.longtail.methods.common import (
    above_zero,
    check_classes,
    check_images_of_classes,
    not_negative,
    train_counts,
)
from gradlens.longtail.methods.method import Method
from gradlens.longtail.methods.single_phase import one_phase
from gradlens.longtail.recipe.phases import Step
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.settings import Setting, Settings, settings_from
from gradlens.longtail.recipe.task import Task


@dataclass(frozen=True)
class ShiftedExpert:
    """Cross-entropy of one expert's logits, with an offset for each class.

    Attributes:
        expert: Its number, from 0.
        offsets: [C] offsets.
    """

    expert: int
    offsets: Tensor

    def __call__(self, step: Step) -> Tensor:
        """Returns the loss of the batch, a scalar."""
        classifiers = cast(ExpertClassifiers, step.learner.model.classifier)
        logits = step.with_rows(partial(classifiers.one, expert=self.expert))
        return F.cross_entropy(logits + self.offsets.to(logits), step.labels)


def reversed_order(frequencies: Tensor) -> Tensor:
    """Returns [C] frequencies in which the k-th most frequent class has that of the k-th rarest one."""
    ranks = torch.argsort(torch.argsort(frequencies, stable=True))
    return torch.sort(frequencies, descending=True).values[ranks]


def _recipe(method: str, task: Task, settings: Settings) -> Recipe:
    check_experts(settings)
    if settings["experts"] != 3:
        raise LongTailError(f"experts={settings['experts']}; {method} has one loss for each of 3 experts")
    check_classes(method, task)
    check_images_of_classes(method, task)  # frequencies of 0 cannot be reversed
    tau, counts = not_negative(settings, "tau"), train_counts(task)
    pi = counts / counts.sum()
    log, reverse = (torch.log(p + 1e-9) for p in (pi, reversed_order(pi)))  # 1e-9 as in the code
    recipe = one_phase(method, task, settings, network=partial(expert_network, task, settings))
    losses = {
        "frequent": ShiftedExpert(0, torch.zeros_like(log)),
        "balanced": ShiftedExpert(1, log),
        "rare": ShiftedExpert(2, log - tau * reverse),
    }
    phase = replace(recipe.phases[0], losses=losses)
    if settings["shared_learning_rate"] is not None:
        shared = {"lower": above_zero(settings, "shared_learning_rate")}
        phase = replace(phase, sgd=replace(phase.sgd, parts={**phase.sgd.parts, **shared}))
    return replace(recipe, phases=(phase,))


_CODE = "Zhang et al. 2022, code"
_CONFIG = f"{_CODE}: configs/config_cifar100_ir100_sade.json"
_PLACES = f"{_CODE}: configs/config_places_lt_resnet152_sade.json"
SADE = Method(
    "sade",
    "three experts, each for another distribution of classes: as they are, balanced, reversed",
    {
        **{name: Setting(s.value, f"{_CODE}: as in Wang et al. 2021") for name, s in EXPERT_SETTINGS.items()},
        "tau": Setting(2.0, f"{_CODE}: model/loss.py"),
        "nesterov": Setting(True, _CONFIG),
        "shared_learning_rate": Setting(None, f"{_CONFIG}: the shared stages have the same rate", float),
        "sampler": Setting("shuffled", "Zhang et al. 2022"),
        "compute": Setting(1, "gradlens: multiple of the epochs"),
    },
    partial(_recipe, "sade"),
    presets={
        "cifar100-lt-if100": cifar_of_experts(_CODE, _CONFIG, steps_by=0.1),
        "places-lt": settings_from(
            _PLACES,
            backbone="resnet-152",
            epochs=30,
            batch=128,
            learning_rate=0.01,
            shared_learning_rate=0.001,
            classifier_learning_rate=None,
            weight_decay=4e-4,
            schedule="steps",
            steps_at=(1 / 3, 2 / 3),
            steps_by=0.1,
            expert_width=1.0,
            tau=1.0,
        )
        | {"pretrained": Setting("torchvision", f"{_CODE}: model/model.py, experts too; there the weights of Caffe")},
        "inaturalist2018": photos_of_experts(
            f"{_CODE}: configs/config_iNaturalist_resnet50_sade.json", batch=512, learning_rate=0.2, tau=1.0
        ),
    },
)
METHODS = (SADE,)
