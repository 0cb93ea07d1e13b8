"""Class prototypes: the mean of the L2-normalised features of each class."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def class_prototypes(features: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Returns [C, d] c_j = mean of x_i / |x_i| over the samples of class j (paper, Section 3.2). The mean is not normalised.

    Args:
        features: [N, d] penultimate features, made in eval mode with the test transform.
        labels: [N] int64 class ids below C.
        num_classes: C. A class without samples has the prototype 0.
    """
    sums = features.new_zeros(num_classes, features.shape[1]).index_add_(0, labels, F.normalize(features, dim=1))
    return sums / torch.bincount(labels, minlength=num_classes).clamp_min(1).unsqueeze(1)
