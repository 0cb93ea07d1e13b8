"""Scores of groups that are not made of classes: the summed cross-entropy and the number of correct samples of each group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from gradlens.autograd.graph import Edge, edge_of, inputs_of, walk
from gradlens.batch.rows import RowsByGroup, classes_within

# At most this many nodes of the loss's graph are searched for the logits.
SEARCHED = 2_000
# At most this many operations on single entries (casts, views, scalings) may lie between the logits and their softmax.
BETWEEN = 6
# Layers, which make other entries from entries.
LAYERS = ("AddmmBackward0", "MmBackward0", "BmmBackward0", "ConvolutionBackward0")


def member_scores(logits: Tensor | None, labels: Tensor, rows: RowsByGroup) -> Tensor:
    """Returns [2, K] on the device: the summed cross-entropy of each group, and its number of correct samples.

    All are NaN if there are no logits. A row of masses counts as one sample: it is correct if the class with most mass is.

    Args:
        logits: [*R, C] or [B, C, *R[1:]]; None if they are not known.
        labels: [*R] class ids, or class masses of the logits' shape.
        rows: Which rows belong to which group.
    """
    count = rows.weights.shape[-1]
    wide = torch.float32 if rows.weights.device.type == "mps" else torch.float64
    shape = rows.weights.shape[:-1]
    soft = labels.is_floating_point()
    if logits is not None and classes_within(logits.shape, shape, rows.class_dim):
        logits, labels = logits.movedim(1, -1), labels.movedim(1, -1) if soft else labels
    if logits is None or logits.shape[:-1] != shape or labels.shape != (logits.shape if soft else shape):
        return torch.full((2, count), torch.nan, dtype=wide, device=rows.weights.device)
    with torch.no_grad():
        log_p = F.log_softmax(logits.float(), -1).reshape(-1, logits.shape[-1])  # [N, C]
        mass = rows.weights.reshape(-1, count).to(wide)  # [N, K]
        labels = labels.to(log_p.device).reshape(-1, logits.shape[-1]) if soft else labels.to(log_p.device).flatten()
        if soft:
            # A class of probability 0 and mass 0 adds nothing to the loss; 0 * infinity would be NaN.
            loss, ids = -torch.where(labels == 0, 0.0, labels * log_p).sum(1), labels.argmax(1)
        else:
            ids = labels.long()
            loss = F.nll_loss(log_p, ids.clamp(0, logits.shape[-1] - 1), reduction="none")
        found = torch.stack([loss, log_p.argmax(1) == ids]).to(wide)  # [2, N]
        # The loss of a row may be infinite or NaN, and 0 * NaN is NaN: it must not reach other groups.
        return torch.stack([torch.where(mass > 0, found[0].unsqueeze(1) * mass, 0.0).sum(0), found[1] @ mass])


def softmax_input(losses: Sequence[Tensor], anchors: Sequence[Tensor]) -> Tensor | None:
    """Returns the anchor that a loss takes a softmax of: the logits. None if there is none.

    The groups do not tell the number of classes here, so the shape of an anchor does not show whether it holds logits.
    """
    ends = {edge_of(anchor): anchor for anchor in anchors}
    for node in walk(map(edge_of, losses), stops=ends, leaves=False, nearest_first=True, most=SEARCHED):
        if "SoftmaxBackward" in node.name():
            for edge in inputs_of(node):
                if (found := _made_of(edge, ends)) is not None:
                    return found
    return None


def _made_of(edge: Edge, ends: Mapping[Edge, Tensor]) -> Tensor | None:
    """Returns the anchor whose entries are those of the tensor at an edge, perhaps scaled or in another shape."""
    for _ in range(BETWEEN):
        if edge in ends:
            return ends[edge]
        if edge[0] is None or edge[0].name() in LAYERS:
            return None
        inputs = [child for child in inputs_of(edge[0]) if child[0] is not None]
        if len(inputs) != 1:
            return None
        edge = inputs[0]
    return None
