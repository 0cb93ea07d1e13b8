"""Finds out whether the rows of an anchor are logits, or embeddings: from these no loss and no hits are counted."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction

from gradlens.autograd.graph import edge_of, walk
from gradlens.guards.own_pass import OwnPass

# A row of probabilities adds up to one with at most this error.
ROUNDING = 1e-3
# At most this many nodes between the loss and the anchor are looked at.
SEARCHED = 20_000


def favours_labels(roots: Sequence[Tensor], anchor: Tensor, labels: Tensor) -> bool:
    """Says whether the loss wants each row's label larger, and no other column as much: then columns are classes.

    Args:
        roots: The tensors that are differentiated.
        anchor: [B, D] outputs.
        labels: [B] class ids.
    """
    if anchor.ndim != 2 or labels.ndim != 1 or labels.is_floating_point() or int(labels.max()) >= anchor.shape[1]:
        return False
    between = walk(map(edge_of, roots), stops={edge_of(anchor)}, leaves=False, most=SEARCHED)
    if any(isinstance(node, BackwardCFunction) for node in between):
        return False  # a function of the script: one more pass might disturb it, and nothing has checked that yet
    with OwnPass():
        found = torch.autograd.grad(list(roots), [anchor], retain_graph=True, allow_unused=True)
    reached = [gradient.detach() for gradient in found if gradient is not None]
    if not reached:
        return False
    (rows,) = reached
    told = rows.abs().amax(1) > 0
    return bool(told.any()) and bool((rows.argmin(1) == labels.to(rows.device))[told].all())


def logits_of(anchor: Tensor, *, columns_are_classes: bool) -> Tensor | None:
    """Returns the tensor that loss and hits are counted from: None if it is the anchor, an empty one if there is none."""
    if anchor.ndim != 2:
        return None
    if not columns_are_classes:
        return anchor.new_empty(0)
    values = anchor.detach()
    if bool((values >= 0).all()) and bool(((values.sum(1) - 1).abs() < ROUNDING).all()):
        return values.log()
    return None
