"""The networks and batches of the budget benchmark: their plain steps take about 0.3, 10 and 300 ms on one core."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CLASSES = 10


class Perceptron(nn.Module):
    """A network with one hidden layer."""

    def __init__(self) -> None:
        super().__init__()
        self.features = 64
        self.hidden, self.classifier = nn.Linear(64, 64), nn.Linear(64, CLASSES)

    def embed(self, images: Tensor) -> Tensor:
        """Maps [B, 1, 8, 8] images to [B, 64] features."""
        return self.hidden(images.flatten(1)).relu()

    def forward(self, images: Tensor) -> Tensor:
        """Maps images to [B, C] logits."""
        return self.classifier(self.embed(images))


class Block(nn.Module):
    """A residual block of two convolutions with BatchNorm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))
        self.norm1, self.norm2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """Maps [B, width, H, W] to the same shape."""
        return F.relu(x + self.norm2(self.second(F.relu(self.norm1(self.first(x))))))


class Residual(nn.Module):
    """A residual network of three stages, each with half the resolution and twice the width of the one before."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        for before, width in ((3, 16), (16, 32), (32, 64)):
            stages += [nn.Conv2d(before, width, 3, stride=2 if stages else 1, padding=1, bias=False)]
            stages += [Block(width) for _ in range(blocks)]
        self.stages = nn.Sequential(*stages)
        self.features, self.classifier = 64, nn.Linear(64, CLASSES)

    def embed(self, images: Tensor) -> Tensor:
        """Maps [B, 3, H, W] images to [B, 64] features."""
        return self.stages(images).mean((2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """Maps images to [B, C] logits."""
        return self.classifier(self.embed(images))


@dataclass(frozen=True)
class Case:
    """A network and its batches.

    Attributes:
        build: Makes the network.
        batch: Batch size B.
        shape: Shape of an image.
        turn: Steps of a turn, about 30 ms or one step.
    """

    build: Callable[[], nn.Module]
    batch: int
    shape: tuple[int, int, int]
    turn: int

    def data(self, batches: int) -> tuple[Tensor, Tensor]:
        """Returns random images and long-tailed labels for some batches: half as many of each class as of the one before."""
        generator = torch.Generator().manual_seed(0)
        count = self.batch * batches
        weights = torch.logspace(0, 1 - CLASSES, CLASSES, base=2)
        labels = torch.multinomial(weights, count, replacement=True, generator=generator)
        return torch.randn(count, *self.shape, generator=generator), labels


CASES = {
    "0.3 ms": Case(Perceptron, 64, (1, 8, 8), 100),
    "10 ms": Case(lambda: Residual(1), 4, (3, 32, 32), 3),
    "300 ms": Case(lambda: Residual(5), 40, (3, 32, 32), 1),
}
