"""``Network``: the interface of the lab's models. A backbone makes features, and a classifier on top can be replaced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn

from gradlens.longtail.networks.computing import Computing, compiled


class Network(nn.Module):
    """A model with a trunk that makes features, and a ``classifier``.

    A network with feature maps defines ``maps``; one without defines ``trunk``.

    Attributes:
        features: Number d of features that ``embed`` returns.
        classifier: Maps [B, d] features to [B, C] logits. It may be replaced.
        attention: Maps [B, channels, h, w] feature maps to others of this shape before they are pooled; None = they stay. A
            phase may add it.
        computing: How the trunk computes.
    """

    features: int
    classifier: nn.Module
    attention: nn.Module | None
    computing: Computing = Computing()

    def __init__(self) -> None:
        """Makes a network without attention."""
        super().__init__()
        self.attention = None

    def maps(self, images: Tensor) -> Tensor:
        """Maps [B, channels, H, W] prepared images to [B, d, h, w], the last feature maps before they are pooled."""
        raise NotImplementedError(f"{type(self).__name__} has no feature maps")

    def pooled(self, maps: Tensor) -> Tensor:
        """Maps [B, d, h, w] feature maps to [B, d] features: the mean over the positions."""
        return maps.mean((2, 3))

    def trunk(self, images: Tensor) -> Tensor:
        """Maps [B, channels, H, W] prepared images to [B, d] features before the classifier."""
        maps = self.maps(images)
        return self.pooled(maps if self.attention is None else self.attention(maps))

    def computed(self, computing: Computing) -> Self:
        """Makes the network compute in another way from now on, and returns it."""
        self.computing = computing
        return self.to(memory_format=getattr(torch, computing.memory_format))

    def embed(self, images: Tensor) -> Tensor:
        """Maps [B, channels, H, W] prepared images to [B, d] features in the precision of the weights, by ``trunk``."""
        return self._computed(self._trunk, images)

    def feature_maps(self, images: Tensor) -> Tensor:
        """Maps [B, channels, H, W] prepared images to [B, d, h, w] in the precision of the weights, by ``maps``."""
        return self._computed(self.maps, images)

    def _computed(self, compute: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        if self.computing.memory_format == "channels_last":
            images = images.contiguous(memory_format=torch.channels_last)
        if self.computing.precision == "float32":
            return compute(images)
        with torch.autocast(images.device.type, torch.bfloat16):
            return compute(images).float()

    def _trunk(self, images: Tensor) -> Tensor:
        if self.computing.compile and self.training and torch.is_grad_enabled():
            return compiled(type(self).trunk)(self, images)
        return self.trunk(images)

    def forward(self, images: Tensor) -> Tensor:
        """Maps [B, channels, H, W] prepared images to [B, C] logits."""
        logits: Tensor = self.classifier(self.embed(images))
        return logits
