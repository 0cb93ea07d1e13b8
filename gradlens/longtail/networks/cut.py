"""``Cut``: a network in two parts, of which the upper one can be made several times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class Cut:
    """A network in two parts.

    Attributes:
        lower: Maps [B, channels, H, W] prepared images to feature maps.
        upper: Makes a newly initialised part that maps feature maps to [B, features] features.
        features: Number of features of one upper part.
    """

    lower: nn.Module
    upper: Callable[[], nn.Module]
    features: int


class GlobalAverage(nn.Module):
    """Averages each feature map over its pixels."""

    def forward(self, maps: Tensor) -> Tensor:
        """Maps [B, channels, H, W] to [B, channels]."""
        return maps.mean((2, 3))
