"""``Network``: the interface of the lab's models. A backbone makes features, and a classifier on top can be replaced."""

from __future__ import annotations

from abc import abstractmethod
from typing import Self

import torch
from torch import Tensor, nn

from gradlens.longtail.networks.computing import Computing, compiled


class Network(nn.Module):
    """A model with a trunk that makes features, and a ``classifier``.

    Attributes:
        features: Number d of features that ``embed`` returns.
        classifier: Maps [B, d] features to [B, C] logits. It may be replaced.
        computing: How the trunk computes.
    """

    features: int
    classifier: nn.Module
    computing: Computing = Computing()

    @abstractmethod
    def trunk(self, images: Tensor) -> Tensor:
        """Maps [B, channels, H, W] prepared images to [B, d] features before the classifier."""

    def computed(self, computing: Computing) -> Self:
        """Makes the network compute in another way from now on, and returns it."""
        self.computing = computing
        return self.to(memory_format=getattr(torch, computing.memory_format))

    def embed(self, images: Tensor) -> Tensor:
        """Maps [B, channels, H, W] prepared images to [B, d] features in the precision of the weights, by ``trunk``."""
        if self.computing.memory_format == "channels_last":
            images = images.contiguous(memory_format=torch.channels_last)
        if self.computing.precision == "float32":
            return self._trunk(images)
        with torch.autocast(images.device.type, torch.bfloat16):
            return self._trunk(images).float()

    def _trunk(self, images: Tensor) -> Tensor:
        if self.computing.compile and self.training and torch.is_grad_enabled():
            return compiled(type(self).trunk)(self, images)
        return self.trunk(images)

    def forward(self, images: Tensor) -> Tensor:
        """Maps [B, channels, H, W] prepared images to [B, C] logits."""
        logits: Tensor = self.classifier(self.embed(images))
        return logits
