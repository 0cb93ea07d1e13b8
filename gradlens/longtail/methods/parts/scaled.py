"""A classifier whose logits have a learnable scale for each class: learnable weight scaling (Kang et al. 2020, Section 4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ScaledClassifier(nn.Module):
    """A classifier with logits s_j z_j, where z are the logits of another classifier.

    The scale multiplies the bias too, as in the code (facebookresearch/classifier-balancing, models/TauNormClassifier.py); in the
    paper it multiplies the weights only.

    Attributes:
        inner: The other classifier.
        scales: [C] s, 1 at first.
    """

    def __init__(self, inner: nn.Module, num_classes: int) -> None:
        """Makes a classifier with the logits of ``inner``.

        Args:
            inner: Maps [B, d] features to [B, C] logits.
            num_classes: C.
        """
        super().__init__()
        self.inner = inner
        self.scales = nn.Parameter(torch.ones(num_classes))

    def forward(self, features: Tensor) -> Tensor:
        """Maps [B, d] features to [B, C] logits."""
        logits: Tensor = self.scales * self.inner(features)
        return logits
