"""The cosine classifier: logits are scaled cosines of features and class weights."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class CosineClassifier(nn.Module):
    """A classifier with logits scale * cos(x, w_j), a learnable scale and no bias (paper, Section 3.2).

    Attributes:
        weight: [C, d] class weights. Only their directions matter.
        scale: Learnable scalar.
    """

    def __init__(self, features: int, num_classes: int, scale: float = 10.0) -> None:
        """Makes a classifier with Kaiming-normal weights.

        Args:
            features: Width d of the input.
            num_classes: C.
            scale: Initial scale.
        """
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_classes, features))
        self.scale = nn.Parameter(torch.tensor(float(scale)))
        nn.init.kaiming_normal_(self.weight)

    def cosines(self, features: Tensor) -> Tensor:
        """Maps [B, d] features to [B, C] cosines, the scores of the intra-class loss."""
        return F.linear(F.normalize(features, dim=1), F.normalize(self.weight, dim=1))

    def forward(self, features: Tensor) -> Tensor:
        """Maps [B, d] features to [B, C] logits."""
        return self.scale * self.cosines(features)

    def extra_repr(self) -> str:
        """Returns the sizes and the scale for the module's repr."""
        return f"features={self.weight.shape[1]}, num_classes={self.weight.shape[0]}, scale={self.scale.item():.3g}"
