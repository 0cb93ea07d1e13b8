"""Evidence: which tensors of a backward pass are anchors, and which are their labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from gradlens.tracking.sightings import Found, Sighting

# Rows from which on labels 0, 1, 2, ... are no batch of one sample of each class.
POSITIONS = 8


@dataclass(frozen=True)
class Evidence:
    """What one backward pass is measured by.

    Attributes:
        anchors: Tensors whose rows are samples.
        labels: [*R] class ids of those rows, or class masses [R, C].
        ignore_index: The label that the loss ignores.
        num_classes: C.
        function: Where the anchors were seen, for people.
        left_out: How many loss calls with other labels count as ``rest``.
        class_dim: Where the anchors have their classes, if that is known.
    """

    anchors: list[Tensor]
    labels: Tensor
    ignore_index: int
    num_classes: int
    function: str
    left_out: int = 0
    class_dim: int | None = None


def weigh(found: Sequence[Found], roots: Sequence[Tensor], num_classes: int | None) -> Evidence | None:
    """Makes evidence of the loss calls in a graph; None where there is none.

    One call, or several with the same labels (auxiliary heads), give their anchors. Several on one anchor with different
    labels (mixup, cutmix) give class masses. Of calls with different anchors and labels the first counts.

    Args:
        found: Loss calls in the order of the forward pass.
        roots: The tensors on which backward runs.
        num_classes: C of the run, once known; loss calls over other classes are left out.
    """
    fitting = [item for item in found if num_classes is None or class_count(item.sighting) == num_classes]
    if not fitting:
        return None
    first = fitting[0].sighting
    same_labels = [item for item in fitting if _same(item.sighting.labels, first.labels)]
    same_anchor = [item for item in fitting if item.sighting.anchor is first.anchor]
    classes = class_count(first)
    if len(same_anchor) > len(same_labels):
        labels = _mixed(same_anchor, roots, classes)
        names = f"{len(same_anchor)} {first.function} calls"
        return Evidence([first.anchor], labels, -100, classes, names, len(found) - len(same_anchor), class_dim(first))
    anchors = list({id(item.sighting.anchor): item.sighting.anchor for item in same_labels}.values())
    left_out = len(found) - len(same_labels)
    return Evidence(anchors, first.labels, first.ignore_index, classes, first.function, left_out, class_dim(first))


def observed(named: Sequence[tuple[Tensor, Tensor]], num_classes: int | None) -> Evidence:
    """Makes evidence of what the script named itself.

    Args:
        named: (outputs, labels), at least one; those with the last labels count.
        num_classes: C of the run, once known.
    """
    labels = named[-1][1]
    anchors = [outputs for outputs, its in named if _same(its, labels)]
    classes = num_classes or _columns(anchors[0], labels)
    return Evidence(anchors, labels, -100, classes, "gradlens.observe", len(named) - len(anchors))


def contrasts(sighting: Sighting) -> bool:
    """Says whether the labels of a loss call are the rows' own positions: a contrastive loss, in which nothing is a class."""
    anchor, labels = sighting.anchor, sighting.labels
    if anchor.ndim != 2 or labels.ndim != 1 or labels.is_floating_point() or len(labels) != anchor.shape[0]:
        return False
    if len(labels) < POSITIONS or anchor.shape[1] % len(labels):
        return False  # columns are the batch, or the batches of several processes
    return bool(torch.equal(labels - labels[0], torch.arange(len(labels), device=labels.device, dtype=labels.dtype)))


def class_count(sighting: Sighting) -> int:
    """Returns C of a loss call: logits are [C], [B, C] or [B, C, ...]."""
    return int(sighting.anchor.shape[class_dim(sighting)])


def class_dim(sighting: Sighting) -> int:
    """Returns where logits of a loss call have their classes: torch says so, whatever the other dimensions are."""
    return min(1, sighting.anchor.ndim - 1)


def _columns(outputs: Tensor, labels: Tensor) -> int:
    """Returns C: the outputs' columns; one logit a sample tells two classes apart."""
    shape = outputs.shape
    if (labels.ndim == 1 and shape == labels.shape) or (len(shape) > 1 and shape[1] == 1):
        return 2
    return int(shape[1] if len(shape) > 1 else shape[0])


def _same(a: Tensor, b: Tensor) -> bool:
    if a is b:
        return True
    if a.shape != b.shape or a.dtype != b.dtype or a.device != b.device:
        return False
    return (a.data_ptr() == b.data_ptr() and a.stride() == b.stride()) or bool(torch.equal(a, b))


def _mixed(found: Sequence[Found], roots: Sequence[Tensor], classes: int) -> Tensor:
    """Returns [B, C] (or [B, C, ...]) class masses: each call's labels, weighted as its loss enters the total."""
    edges = [GradientEdge(item.node, 0) for item in found]
    weights: Sequence[Tensor | None] = torch.autograd.grad(list(roots), edges, retain_graph=True, allow_unused=True)
    masses: list[Tensor] = []
    for item, weight in zip(found, weights, strict=True):
        if weight is None:
            continue
        hot = _masses(item.sighting, classes)
        size = weight.detach().abs()
        spread = size if size.ndim == 0 else size.reshape(*size.shape[:1], 1, *size.shape[1:])
        masses.append(hot * spread)
    total = torch.stack(masses).sum(0)
    return total / total.sum(class_dim(found[0].sighting), keepdim=True).clamp(min=torch.finfo(total.dtype).tiny)


def _masses(sighting: Sighting, classes: int) -> Tensor:
    labels = sighting.labels.detach()
    if labels.is_floating_point():
        return labels.float()
    dim = class_dim(sighting)
    ids = torch.arange(classes, device=labels.device).reshape(
        [classes if d == dim else 1 for d in range(labels.ndim + 1)]
    )
    return (labels.unsqueeze(dim) == ids).float()
