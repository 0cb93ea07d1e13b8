"""torch's ``linear_cross_entropy`` in chunks: a last layer and its loss in one node, which gives one gradient for all samples."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from gradlens.tracking.find.sightings import nodes

CHUNKED = (
    "the weights inside a linear_cross_entropy with chunks have no gradient of a group (beside a loss that is measured they "
    "count as 'rest'); to have all measured, leave its chunk options out; for what comes before it, add "
    "gradlens.observe(its input, labels) before loss.backward()"
)


def in_chunks(roots: Sequence[Tensor]) -> bool:
    """Says whether the graphs of ``roots`` hold such a loss, outside of other loss calls."""
    return any("linear_cross_entropy" in node.name() for node in nodes(list(roots)))
