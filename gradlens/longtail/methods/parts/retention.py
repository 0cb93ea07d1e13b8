"""The memory-retentive loss of phase II and its weight (paper, Equations 6-8 and Appendix A)."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from gradlens.longtail.errors import LongTailError


def retention_loss(
    old: Tensor, new: Tensor, tau: float = 0.05, reduction: Literal["mean", "sum"] = "mean", detach: bool = False
) -> Tensor:
    """Returns a loss that keeps the new features close to those of the old model, and also their relations to each other.

    With L2-normalised old features z_i and new features z^_j of a mini-batch:

    - Equation 6: a_ji = softmax over j of s(z_i, z^_j) / tau, where s is the cosine;
    - Equation 7: mu_i = sum_j a_ji |z_i - z^_j| (the paper's text sums over i, but the sum is over j);
    - Equation 8: L_dis = mean_i mu_i.

    The paper has no temperature. With tau = 1 the loss is lower if all new features collapse to their mean than if they equal
    the old ones. This is against its purpose, so the default is 0.05.

    Args:
        old: [B, d] features of the frozen old model; no gradient flows into them.
        new: [B, d] features of the model in training, of the same samples.
        tau: Temperature of the weights; 1.0 is the paper's formula as printed.
        reduction: "mean" over the batch, or "sum" as printed in Equation 8.
        detach: True if no gradient flows through the weights a_ji.

    Returns:
        Scalar, in [0, 2] for "mean". Its gradient is 0, not NaN, if old and new features are equal.

    Raises:
        LongTailError: The shapes differ, the batch is empty, tau is not above 0, or the reduction is unknown.
    """
    if old.shape != new.shape or old.ndim != 2 or not len(old):
        raise LongTailError(
            f"old {tuple(old.shape)} and new {tuple(new.shape)} features; both must be [B, d] with B >= 1"
        )
    if not 0 < tau < math.inf:
        raise LongTailError(f"tau={tau}; the temperature must be a finite number above 0")
    if reduction not in ("mean", "sum"):
        raise LongTailError(f"reduction={reduction!r}; choose 'mean' or 'sum'")
    z, z_new = F.normalize(old.detach(), dim=1), F.normalize(new, dim=1)
    weights = (z @ z_new.T / tau).softmax(1)  # [B, B] a_ji at [i, j]
    # Not sqrt(2 - 2 cos): near 0 it loses half of the digits, and its gradient is infinite there. That of cdist is 0.
    distance = torch.cdist(z, z_new, compute_mode="donot_use_mm_for_euclid_dist")  # [B, B]
    mu = ((weights.detach() if detach else weights) * distance).sum(1)  # [B]
    return mu.mean() if reduction == "mean" else mu.sum()


def retention_weight(num_old: int, num_new: int) -> float:
    """Returns lambda = sqrt(C1 / C2), the weight of the memory-retentive loss in Equation 9 (Appendix A).

    CIFAR100-LT with imbalance 100: sqrt(70 / 30) = 1.5275. The ablation's sqrt(C / C1) is a slip of the text.

    Args:
        num_old: C1, classes of phase I.
        num_new: C2, classes that join in phase II.

    Raises:
        LongTailError: One of them is below 1.
    """
    if num_old < 1 or num_new < 1:
        raise LongTailError(f"num_old={num_old}, num_new={num_new}; both phases need at least one class")
    return math.sqrt(num_old / num_new)
