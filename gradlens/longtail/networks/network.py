"""Network: what the lab asks of a model, a backbone that embeds and a classifier on top that can be exchanged."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn


class Network(nn.Module):
    """A backbone with ``embed`` and a ``classifier``.

    Attributes:
        features: Width d of what ``embed`` returns.
        classifier: [B, d] -> [B, C] logits; replace it to change the head.
    """

    features: int
    classifier: nn.Module

    @abstractmethod
    def embed(self, images: Tensor) -> Tensor:
        """[B, channels, H, W] prepared images -> [B, d] features before the classifier."""

    def forward(self, images: Tensor) -> Tensor:
        """[B, channels, H, W] prepared images -> [B, C] logits."""
        logits: Tensor = self.classifier(self.embed(images))
        return logits
