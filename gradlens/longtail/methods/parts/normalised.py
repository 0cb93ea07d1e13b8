"""The normalised classifier of LDAM, GCL and RIDE: cosines of features and class weights, times a fixed scale."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class NormalisedClassifier(nn.Module):
    """A classifier with logits scale * cos(x, w_j), a fixed scale and no bias (kaidic/LDAM-DRW, models/resnet_cifar.py).

    There the scale is part of the loss. Here it is part of the logits, so that their softmax, which the lens and its probes take,
    is what is trained. Loss, gradients and predictions are the same.

    Attributes:
        weight: [C, d] class weights. Only their directions matter.
        scale: The scale. It is not trained.
    """

    def __init__(self, features: int, num_classes: int, scale: float) -> None:
        """Makes a classifier with weights drawn uniformly from [-1, 1] and then scaled to unit length.

        Args:
            features: Width d of the input.
            num_classes: C.
            scale: The scale.
        """
        super().__init__()
        self.weight = nn.Parameter(F.normalize(torch.empty(num_classes, features).uniform_(-1, 1), dim=1))
        self.scale = scale

    def forward(self, features: Tensor) -> Tensor:
        """Maps [B, d] features to [B, C] logits."""
        return self.scale * F.linear(F.normalize(features, dim=1), F.normalize(self.weight, dim=1))

    def extra_repr(self) -> str:
        """Returns the sizes and the scale for the module's repr."""
        return f"features={self.weight.shape[1]}, num_classes={self.weight.shape[0]}, scale={self.scale:.3g}"
