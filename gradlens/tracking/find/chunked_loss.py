"""torch's ``linear_cross_entropy`` in chunks: a last layer and its loss in one node, which gives one gradient for all samples."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from gradlens.autograd.graph import inputs_of
from gradlens.tracking.find.classifiers import leaf_at
from gradlens.tracking.find.sightings import nodes_above_losses

# In the name of its node, whose inputs begin with what it is given and the weight [C, D].
NODE, WEIGHT = "linear_cross_entropy", 1

CHUNKED = (
    "the weights inside a linear_cross_entropy with chunks have no gradient of a group, nor has what comes before it without "
    "gradlens.observe(its input, labels) before loss.backward() (beside a loss that is measured both count as 'rest'); to have "
    "all measured, leave its chunk options out"
)


def in_chunks(roots: Sequence[Tensor]) -> bool:
    """Says whether the graphs of ``roots`` hold such a loss, outside of other loss calls."""
    return any(NODE in node.name() for node in nodes_above_losses(roots))


def classes_of_chunked(roots: Sequence[Tensor]) -> int | None:
    """Returns C of such a loss; None where there is none, or its weight is not trained."""
    for node in nodes_above_losses(roots):
        if NODE in node.name() and len(inputs := inputs_of(node)) > WEIGHT:
            weight = leaf_at(inputs[WEIGHT][0])
            return len(weight) if weight is not None and weight.ndim == 2 else None
    return None
