"""Losses of the distances between the features of a batch: the lifted structured loss and the range loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def lifted_structured(features: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Returns the lifted structured loss of a batch, a scalar (Song et al. 2016, Equation 4).

    With the Euclidean distances D and the set P of pairs i < j of one class, where k and l run over samples of other classes:

        J_ij = log(sum_k exp(margin - D_ik) + sum_l exp(margin - D_jl)) + D_ij,   L = sum_P max(0, J_ij)^2 / 2|P|

    Args:
        features: [B, d].
        labels: [B] int64 class ids.
        margin: Margin of the distances.

    Returns:
        0 with a zero gradient if there is no pair, or one class only.
    """
    distances = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")  # [B, B]
    same = labels[:, None] == labels
    others = (margin - distances).masked_fill(same, -torch.inf).logsumexp(1)  # [B] log sum_k exp(margin - D_ik)
    pairs = same.triu(1)
    hinge = (torch.logaddexp(others[:, None], others) + distances).clamp_min(0)
    return torch.where(pairs, hinge, 0).square().sum() / (2 * pairs.sum().clamp_min(1))


def range_within(features: Tensor, labels: Tensor, largest: int, squared: bool = False) -> Tensor:
    """Returns the part of the range loss within classes, a scalar (Zhang et al. 2017, Section 3.2).

    It is the sum, over the classes in the batch, of the harmonic mean k / sum_r 1 / D_r of the k largest distances in the class.

    Args:
        features: [B, d].
        labels: [B] int64 class ids.
        largest: k. A class with fewer pairs has the mean of these; one with a single sample is left out.
        squared: True for squared distances.

    Returns:
        0 with a zero gradient if there is no pair.
    """
    total = 0 * features.sum()
    for label in sorted(set(labels.tolist())):
        own = features[labels == label]
        if len(own) > 1:
            distances = F.pdist(own)
            if squared:
                distances = distances.square()
            widest = distances.topk(min(largest, len(distances))).values
            total = total + len(widest) / (1 / widest).sum()  # 0 if one of them is 0
    return total


def range_between(features: Tensor, labels: Tensor, margin: float, squared: bool = False) -> Tensor:
    """Returns the part of the range loss between classes, a scalar: max(0, margin - D) (Zhang et al. 2017, Section 3.2).

    Args:
        features: [B, d].
        labels: [B] int64 class ids.
        margin: Demanded distance of the two closest class means of the batch.
        squared: True if D is a squared distance.

    Returns:
        0 with a zero gradient if there is one class only.
    """
    present = torch.tensor(sorted(set(labels.tolist())), device=labels.device)
    member = (labels[:, None] == present).to(features)  # [B, classes]
    means = (member / member.sum(0)).T @ features
    if len(means) < 2:
        return 0 * features.sum()
    nearest = F.pdist(means).min()
    return (margin - (nearest.square() if squared else nearest)).clamp_min(0)
