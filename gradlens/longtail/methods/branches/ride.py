"""RIDE (Wang et al. 2021, "Long-tailed recognition by routing diverse distribution-aware experts"), without its routing.

Three experts share the first stages. Each is trained with LDAM and, late in training, class-balanced weights, and is rewarded for
predictions that differ from those of the mean (Sections 3.1 and 3.2). With z_e the logits of expert e and z their mean,

    L = sum_e [ LDAM(z_e) - g T'^2 KL( softmax(z / T) || softmax(z_e / T) ) ],

in which no gradient flows through the mean. From the epoch of the weights on the temperature depends on the class, T_c = T w_c
with w_c = (1 - r + r C pi_c) / max, and T' is the mean of T_c; before, it is T. pi are the class frequencies. All this follows
the code (frank-xwang/RIDE-LongTailRecognition, model/loss.py); the paper has all pairs of experts instead of the mean.
With g = 0 the code trains the mean's logits instead of each expert's; here each expert is trained.
At test the logits are the mean of the experts'. The routing and the distillation of the paper are left out; its code reports 48.0
(IF100) for three experts without them.
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
from gradlens.longtail.methods.common import above_zero, check_classes, not_negative, train_counts
from gradlens.longtail.methods.ldam import MarginCrossEntropy, margins
from gradlens.longtail.methods.method import Method
from gradlens.longtail.methods.parts.class_weights import class_balanced_weights
from gradlens.longtail.methods.single_phase import one_phase
from gradlens.longtail.recipe.phases import LossOfStep, Step
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.settings import Setting, Settings
from gradlens.longtail.recipe.task import Task


def _each(step: Step) -> Tensor:
    """Returns [B, E, C] logits of each expert."""
    return step.with_rows(cast(ExpertClassifiers, step.learner.model.classifier).each)


@dataclass(frozen=True)
class SumOverExperts:
    """The sum of a loss over the experts.

    Attributes:
        loss: The loss of each expert.
    """

    loss: MarginCrossEntropy

    def __call__(self, step: Step) -> Tensor:
        """Returns the loss of the batch, a scalar."""
        experts = _each(step)
        return torch.stack([self.loss.of(logits, step.labels, step.progress) for logits in experts.unbind(1)]).sum()


@dataclass(frozen=True)
class Diversity:
    """Minus the divergence of the experts' predictions from the mean's.

    Attributes:
        factor: g.
        temperature: T.
        classes: [C] w_c.
        classes_from: Part of the phase's epochs in which the temperature does not depend on the class.
    """

    factor: float
    temperature: float
    classes: Tensor
    classes_from: float

    def __call__(self, step: Step) -> Tensor:
        """Returns the loss of the batch, a scalar."""
        late = step.progress.epoch >= round(self.classes_from * step.progress.epochs)
        factors = self.classes.to(step.logits)
        temperature = self.temperature * (factors if late else torch.ones_like(factors))  # [C]
        mean = F.softmax(step.logits.detach() / temperature, dim=1)
        own = F.log_softmax(_each(step) / temperature, dim=2)  # [B, E, C]
        divergence = F.kl_div(own, mean[:, None].expand_as(own), reduction="sum") / len(own)
        return -self.factor * temperature.mean() ** 2 * divergence


def class_temperatures(counts: Tensor, r: float) -> Tensor:
    """Returns [C] float64 w_c = (1 - r + r C pi_c) / max, 1 for the class with most images.

    Args:
        counts: [C] training images per class.
        r: From 0, for the same temperature of all classes, to below 1.
    """
    share = 1 - r + r * len(counts) * counts.double() / counts.sum()
    return share / share.max()


def _recipe(method: str, task: Task, settings: Settings) -> Recipe:
    check_experts(settings)
    check_classes(method, task)
    counts, start, r = train_counts(task), float(settings["weighted_from"]), float(settings["temperature_spread"])
    temperature, factor = above_zero(settings, "temperature"), not_negative(settings, "diversity")
    if not 0 <= start <= 1:
        raise LongTailError(f"weighted_from={start}; it is a part of the epochs, from 0 to 1")
    if not 0 <= r < 1:
        raise LongTailError(f"temperature_spread={r}; it must be at least 0 and below 1")
    scaled = float(settings["scale"]) * margins(counts, not_negative(settings, "margin"))
    loss = MarginCrossEntropy(scaled, class_balanced_weights(counts, float(settings["beta"])), start)
    recipe = one_phase(method, task, settings, network=partial(expert_network, task, settings))
    losses: dict[str, LossOfStep] = {
        "classification": SumOverExperts(loss),
        "diversity": Diversity(factor, temperature, class_temperatures(counts, r), start),
    }
    return replace(recipe, phases=(replace(recipe.phases[0], losses=losses),))


_CODE = "Wang et al. 2021, code"
_CONFIG = f"{_CODE}: configs/config_imbalance_cifar100_ride.json"


def _of_photos(file: str, batch: int, rate: float, spread: float) -> dict[str, Setting]:
    """Returns the preset of a configuration file of the code, which differ in three values."""
    preset = photos_of_experts(f"{_CODE}: {file}", batch=batch, learning_rate=rate, temperature_spread=spread)
    return preset | {"diversity": Setting(0.2, f"{_CODE}, model/loss.py: its default")}


RIDE = Method(
    "ride",
    "three experts with LDAM and class-balanced weights that are to differ from each other",
    {
        **EXPERT_SETTINGS,
        "margin": Setting(0.5, f"{_CODE}, model/loss.py: the margin of the rarest class"),
        "beta": Setting(0.9999, f"{_CODE}, model/loss.py"),
        "weighted_from": Setting(0.8, f"{_CONFIG}: from epoch 160 of 200, counted from 0"),
        "diversity": Setting(0.45, f"{_CONFIG}; later 0.2; without it accuracy is no lower (issue 7)"),
        "temperature": Setting(1.0, f"{_CODE}, model/loss.py: base_diversity_temperature"),
        "temperature_spread": Setting(0.05, f"{_CODE}, model/loss.py: reweight_factor"),
        "nesterov": Setting(True, _CONFIG),
        "sampler": Setting("shuffled", "Wang et al. 2021"),
        "compute": Setting(1, "gradlens: multiple of the epochs"),
    },
    partial(_recipe, "ride"),
    presets={
        "cifar100-lt-if100": cifar_of_experts(_CODE, _CONFIG, steps_by=0.01),
        "imagenet-lt": _of_photos("configs/config_imagenet_lt_resnet50_ride.json", 256, 0.1, 0.02),
        "inaturalist2018": _of_photos("configs/config_iNaturalist_resnet50_ride.json", 512, 0.2, 0.015),
    },
)
METHODS = (RIDE,)
