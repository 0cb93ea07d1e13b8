"""Experts: one network with several upper parts, each with a classifier of its own, as in RIDE and SADE."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods.common import positive
from gradlens.longtail.methods.parts.normalised import NormalisedClassifier
from gradlens.longtail.networks.branched import BranchedNetwork
from gradlens.longtail.networks.network import Network
from gradlens.longtail.recipe.settings import Setting, Settings
from gradlens.longtail.recipe.task import Task

_CODE = "Wang et al. 2021, code"
EXPERT_SETTINGS = {
    "experts": Setting(3, _CODE),
    "expert_width": Setting(0.75, f"{_CODE}: 24 and 48 channels in the later stages of ResNet-32"),
    "scale": Setting(30.0, f"{_CODE}; it is fixed"),
}


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
        own = features.chunk(len(self.experts), 1)
        return torch.stack([classifier(rows) for classifier, rows in zip(self.experts, own, strict=True)], 1)


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
    for name in ("expert_width", "scale"):
        if not 0 < settings[name] < float("inf"):
            raise LongTailError(f"{name}={settings[name]}; it must be a finite number above 0")
