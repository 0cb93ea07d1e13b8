"""``Network``: the interface of the lab's models. A backbone makes features, and a classifier on top can be replaced."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn


class Network(nn.Module):
    """A model with a backbone, ``embed``, and a ``classifier``.

    Attributes:
        features: Number d of features that ``embed`` returns.
        classifier: Maps [B, d] features to [B, C] logits. It may be replaced.
    """

    features: int
    classifier: nn.Module

    @abstractmethod
    def embed(self, images: Tensor) -> Tensor:
        """Maps [B, channels, H, W] prepared images to [B, d] features before the classifier."""

    def forward(self, images: Tensor) -> Tensor:
        """Maps [B, channels, H, W] prepared images to [B, C] logits."""
        logits: Tensor = self.classifier(self.embed(images))
        return logits
