"""Finds torch's ``linear_cross_entropy`` in chunks: the last layer and its loss in one node of the graph.

Such a node gives one gradient for all samples, so the layer's weight has no gradient of a group.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from gradlens.autograd.graph import inputs_of
from gradlens.measure.preflight.one_pass import why_fused
from gradlens.tracking.find.classifiers import leaf_at
from gradlens.tracking.find.loss_calls import nodes_above_losses

# A part of the node's name, and the position of the weight [C, D] among its inputs.
NODE, WEIGHT = "linear_cross_entropy", 1
# The node of a call with reduction="none". It gives gradients for each row, as often as it is asked.
OF_ROWS = "no_reduction"

CHUNKED = (
    "the weights inside a linear_cross_entropy with chunks have no gradient of a group; the layers before it are measured if the "
    "script calls gradlens.observe(its input, labels) before loss.backward(); beside a measured loss all else counts as "
    "'rest'; to measure everything, reduce the losses yourself (reduction='none', then .mean()), or leave out the chunk options"
)


def in_chunks(roots: Sequence[Tensor]) -> bool:
    """Says whether the graphs of ``roots`` hold such a loss that is not inside another loss call."""
    return any(NODE in (name := node.name()) and OF_ROWS not in name for node in nodes_above_losses(roots))


def fused(roots: Sequence[Tensor]) -> str | None:
    """Returns the line about a loss of a library that fuses it with the last layer (Liger's, Apple's); None if there is none."""
    return next((line for node in nodes_above_losses(roots) if (line := why_fused(node)) is not None), None)


def classes_of_chunked(roots: Sequence[Tensor]) -> int | None:
    """Returns C, the number of classes of such a loss; None if there is none, or if its weight is not trained."""
    for node in nodes_above_losses(roots):
        if NODE in node.name() and len(inputs := inputs_of(node)) > WEIGHT:
            weight = leaf_at(inputs[WEIGHT][0])
            return len(weight) if weight is not None and weight.ndim == 2 else None
    return None
