"""The networks whose cost is measured, and ways to take a training step of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from gpu.networks import Transformer
from gpu.precision import autocast
from torch import Tensor, nn

from gradlens import ClassGroups, Lens
from gradlens.longtail.networks.resnet_cifar import ResNetCifar

CLASSES = 100
VOCABULARY, SMALL_VOCABULARY = 50_000, 200
Step = Callable[[], Any]


@dataclass(frozen=True)
class Case:
    """A network and how it is trained.

    Attributes:
        build: Makes the network.
        batch: Batch size B.
        inputs: Makes [B, ...] inputs.
        precision: Precision of the step.
        classes: Number of classes.
        per_token: True if each token has a label.
    """

    build: Callable[[], nn.Module]
    batch: int
    inputs: Callable[[int], Tensor]
    precision: str
    classes: int = CLASSES
    per_token: bool = False


def torchvision_model(name: str) -> Callable[[], nn.Module]:
    """Returns a function that makes a model of torchvision."""

    def make() -> nn.Module:
        from torchvision import models

        return getattr(models, name)(num_classes=CLASSES)

    return make


def short_resnet() -> nn.Module:
    """Returns a ResNet of torchvision with the blocks of ResNet-50, but one of each width."""
    from torchvision.models.resnet import Bottleneck, ResNet

    return ResNet(Bottleneck, [1, 1, 1, 1], num_classes=CLASSES)


def short_vision_transformer() -> nn.Module:
    """Returns a vision transformer of torchvision with two blocks."""
    from torchvision.models import VisionTransformer

    return VisionTransformer(32, 16, 2, 4, 64, 128, num_classes=CLASSES)


def pictures(size: int) -> Callable[[int], Tensor]:
    """Returns a function that makes [B, 3, size, size] random images for a batch size B."""
    return lambda batch: torch.randn(batch, 3, size, size)


CASES = {
    "resnet32": Case(lambda: ResNetCifar(32, CLASSES), 128, pictures(32), "default"),
    "resnet32-groupnorm": Case(lambda: ResNetCifar(32, CLASSES, norm="group"), 128, pictures(32), "default"),
    "resnet50": Case(torchvision_model("resnet50"), 128, pictures(224), "bfloat16"),
    "vit-b-16": Case(torchvision_model("vit_b_16"), 64, pictures(224), "bfloat16"),
    "gpt": Case(
        lambda: Transformer(VOCABULARY, VOCABULARY, 256, 512, 8, 8, language=True),
        16,
        lambda batch: torch.randint(VOCABULARY, (batch, 256)),
        "bfloat16",
        VOCABULARY,
        per_token=True,
    ),
}


# The same kinds of network, so small that a CPU takes a step in some ten milliseconds.
SMALL = {
    "resnet32": Case(lambda: ResNetCifar(8, CLASSES), 32, pictures(32), "default"),
    "resnet32-groupnorm": Case(lambda: ResNetCifar(8, CLASSES, norm="group"), 32, pictures(32), "default"),
    "resnet50": Case(short_resnet, 8, pictures(32), "bfloat16"),
    "vit-b-16": Case(short_vision_transformer, 16, pictures(32), "bfloat16"),
    "gpt": Case(
        lambda: Transformer(SMALL_VOCABULARY, SMALL_VOCABULARY, 16, 32, 2, 2, language=True),
        4,
        lambda batch: torch.randint(SMALL_VOCABULARY, (batch, 16)),
        "bfloat16",
        SMALL_VOCABULARY,
        per_token=True,
    ),
}


def grouping(groups: int, classes: int) -> ClassGroups:
    """Returns ``groups`` groups of neighbouring classes. The first group has the most frequent classes."""
    edges = [round(classes * k / groups) for k in range(groups + 1)]
    return ClassGroups({f"g{k}": range(edges[k], edges[k + 1]) for k in range(groups)}, classes)


class Training:
    """A model, an optimizer and one batch, and ways to take a training step."""

    def __init__(self, case: Case, device: str) -> None:
        torch.manual_seed(0)
        self.case, self.device = case, device
        self.model = case.build().to(device).train()
        if not case.per_token:
            self.model.to(memory_format=torch.channels_last)
        self.inputs = case.inputs(case.batch).to(device)
        # The labels are long-tailed: each class is rarer than the one before.
        weights = torch.logspace(0, -2, case.classes)
        count = self.inputs.numel() if case.per_token else case.batch
        drawn = torch.multinomial(weights, count, replacement=True)
        self.labels = (drawn.view_as(self.inputs) if case.per_token else drawn).to(device)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-5, momentum=0.9)

    def loss(self) -> Tensor:
        """Runs the forward pass and returns the loss, a scalar."""
        with autocast(self.case.precision, self.device):
            output = self.model(self.inputs)
            return F.cross_entropy(output.flatten(0, -2), self.labels.flatten())

    def rows(self, output: Tensor) -> Tensor:
        """Returns the loss of each row, in the shape of the labels."""
        return F.cross_entropy(output.flatten(0, -2), self.labels.flatten(), reduction="none").view_as(self.labels)

    def plain(self) -> None:
        """Takes a training step without measuring."""
        self.optimizer.zero_grad()
        self.loss().backward()
        self.optimizer.step()

    def measured(self, lens: Lens) -> None:
        """Takes a training step with a lens."""
        self.optimizer.zero_grad()
        lens.backward(self.loss(), self.labels)
        self.optimizer.step()
