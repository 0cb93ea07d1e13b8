"""Experts: one network with several upper parts, each with a classifier of its own, as in RIDE and SADE."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods.common import above_zero, positive
from gradlens.longtail.methods.parts.cifar_recipe import cifar_recipe
from gradlens.longtail.methods.parts.normalised import NormalisedClassifier
from gradlens.longtail.networks.branched import BranchedNetwork
from gradlens.longtail.networks.network import Network
from gradlens.longtail.recipe.settings import Setting, Settings, settings_from
from gradlens.longtail.recipe.task import Task

NARROWEST = 0.05
_CODE = "Wang et al. 2021, code"
EXPERT_SETTINGS = {
    "experts": Setting(3, _CODE),
    "expert_width": Setting(0.75, f"{_CODE}: 24 and 48 channels in the later stages of ResNet-32"),
    "scale": Setting(30.0, f"{_CODE}; it is fixed"),
}


def cifar_of_experts(code: str, config: str, *, steps_by: float) -> dict[str, Setting]:
    """Returns the preset with which RIDE and SADE train on CIFAR100-LT.

    Args:
        code: The code.
        config: Its configuration file.
        steps_by: Factor of the learning rate at each step.
    """
    own = settings_from(config, weight_decay=5e-4) | settings_from(
        f"{code}: data_loader/cifar_data_loaders.py", augmentation="rotation"
    )
    return cifar_recipe(config, steps_by=steps_by) | own


def photos_of_experts(config: str, *, batch: int, learning_rate: float, **others: float) -> dict[str, Setting]:
    """Returns the preset with which RIDE and SADE train on large images.

    Args:
        config: The configuration file.
        batch: Images in a batch.
        learning_rate: Learning rate.
        others: Further settings of the file.
    """
    return settings_from(
        config,
        epochs=100,
        batch=batch,
        learning_rate=learning_rate,
        weight_decay=2e-4,
        schedule="steps",
        steps_at=(0.6, 0.8),
        steps_by=0.1,
        warm_up=5,
        **others,
    )


class ExpertClassifiers(nn.Module):
    """Normalised classifiers, one for each expert's features. The logits are the mean of theirs.

    Attributes:
        experts: The classifiers.
    """

    def __init__(self, experts: int, features: int, num_classes: int, scale: float) -> None:
        """Makes the classifiers.

        Args:
            experts: Number of experts E.
            features: Number of features of each expert.
            num_classes: C.
            scale: Factor of the cosines.
        """
        super().__init__()
        self.experts = nn.ModuleList([NormalisedClassifier(features, num_classes, scale) for _ in range(experts)])

    def forward(self, features: Tensor) -> Tensor:
        """Maps [B, E * features] features of all experts to [B, C] logits."""
        return self.each(features).mean(1)

    def each(self, features: Tensor) -> Tensor:
        """Maps [B, E * features] features of all experts to [B, E, C] logits of each."""
        return torch.stack([self.one(features, expert) for expert in range(len(self.experts))], 1)

    def one(self, features: Tensor, expert: int) -> Tensor:
        """Maps [B, E * features] features of all experts to [B, C] logits of one."""
        logits: Tensor = self.experts[expert](features.chunk(len(self.experts), 1)[expert])
        return logits


def expert_network(task: Task, settings: Settings) -> Network:
    """Returns the task's network with experts: its first stages are shared, the later ones exist once for each expert.

    Args:
        task: The task.
        settings: The settings, with those of ``EXPERT_SETTINGS``.
    """
    network = task.network(settings, False)
    cut = network.after_first_stages(float(settings["expert_width"]))
    experts = int(settings["experts"])
    classifier = ExpertClassifiers(experts, cut.features, task.num_classes, float(settings["scale"]))
    return BranchedNetwork(cut, experts, classifier).computed(network.computing)


def check_experts(settings: Settings) -> None:
    """Checks the settings of ``expert_network``.

    Raises:
        LongTailError: One has a value that it cannot have.
    """
    positive(settings, "experts")
    above_zero(settings, "scale")
    if above_zero(settings, "expert_width") < NARROWEST:
        raise LongTailError(
            f"expert_width={settings['expert_width']}; it must be at least {NARROWEST}, or stages may be left without channels"
        )
