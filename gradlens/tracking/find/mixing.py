"""Mixing: divides rows that have several labels among these, by the weights of the losses (mixup, CutMix)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gradlens.batch.labelled import Labelled
from gradlens.guards.own_pass import OwnPass
from gradlens.tracking.find.loss_calls import LossNode


def weights_of(calls: Sequence[LossNode], roots: Sequence[Tensor]) -> list[Tensor]:
    """Returns the weight of each loss call in the total loss: |d total / d result|, one number or one for each row."""
    edges = [call.edge for call in calls]
    with OwnPass():
        found = torch.autograd.grad(list(roots), edges, retain_graph=True, allow_unused=True)
    return [torch.zeros(()) if weight is None else weight.detach().abs() for weight in found]


def mixed(labels: Sequence[Tensor], weights: Sequence[Tensor], class_dim: int) -> Tensor:
    """Returns the weighted mean of several class masses, each row divided by its sum.

    Args:
        labels: Class masses, each [B, C, ...], or [C] without a batch.
        weights: For each, one number or one number for each row.
        class_dim: The dimension that holds the classes.
    """
    spread = [weight if weight.ndim == 0 else weight.unsqueeze(class_dim) for weight in weights]
    total = torch.stack([mass * weight.to(mass) for mass, weight in zip(labels, spread, strict=True)]).sum(0)
    return total / total.sum(class_dim, keepdim=True).clamp(min=torch.finfo(total.dtype).tiny)


def masses(labels: Tensor, classes: int, class_dim: int) -> Tensor:
    """Returns class ids as one-hot class masses, with the classes in dimension ``class_dim``; masses as floats."""
    labels = labels.detach()
    if labels.is_floating_point():
        return labels.float()
    ids = torch.arange(classes, device=labels.device)
    return (labels.unsqueeze(-1) == ids).movedim(-1, class_dim).float()


def share_of(number: int, weights: Sequence[Tensor]) -> Tensor:
    """Returns the share of loss ``number`` among several losses of the same rows.

    Args:
        number: Index of the loss.
        weights: Weights of all losses. If all have one number for each row, so has the share; otherwise it is one number.
    """
    if any(weight.shape != weights[0].shape for weight in weights):
        weights = [weight.mean() for weight in weights]
    total = torch.stack([weight.to(weights[0]) for weight in weights]).sum(0)
    return weights[number] / total.clamp(min=torch.finfo(total.dtype).tiny)


def joined(labelled: Sequence[Labelled], classes: int) -> Tensor:
    """Returns the labels of several anchors as one tensor: class ids [N], or class masses [N, C] if some are masses."""
    if len(labelled) == 1:
        return labelled[0].labels
    home = labelled[0].labels.device
    if not any(item.labels.is_floating_point() for item in labelled):
        return torch.cat([item.labels.detach().reshape(-1).long().to(home) for item in labelled])
    found = []
    for item in labelled:
        dim = 1 if item.class_dim is None else item.class_dim
        found.append(masses(item.labels, classes, dim).movedim(dim, -1).reshape(-1, classes).to(home))
    return torch.cat(found)
