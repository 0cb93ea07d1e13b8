"""Class-balanced weights by the effective number of samples (Cui et al. 2019, Section 4)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gradlens.longtail.errors import LongTailError


def class_balanced_weights(counts: Tensor, beta: float) -> Tensor:
    """Returns the weights (1 - beta) / (1 - beta^n_c), scaled so that their mean over the classes with images is 1.

    beta = 0 gives weights of 1; beta near 1 gives weights in proportion to 1 / n_c. A class without images has the weight 0: the
    formula has no value for it, and no sample ever takes it.

    Args:
        counts: [C] training images per class.
        beta: See above.

    Returns:
        [C] float64 weights.

    Raises:
        LongTailError: beta is not in [0, 1).
    """
    if not 0 <= beta < 1:
        raise LongTailError(f"beta={beta}; it must be at least 0 and below 1 (0 = all classes weigh the same)")
    n = counts.double()
    filled = n > 0
    if not beta:
        return filled.double()
    # 1 - beta^n by expm1: it keeps its digits where beta is near 1. The factor 1 - beta falls out of the scaling.
    weights = torch.where(filled, -1 / torch.expm1(n.clamp(min=1) * math.log(beta)), 0)
    return weights * (filled.sum() / weights.sum())
