"""The masked engine: it runs one extra backward pass for each wanted vector, and is exact for every module."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from gradlens.autograd.grads import Grads
from gradlens.autograd.pull_back import gradients
from gradlens.batch.rows import RowsByGroup
from gradlens.engines.masks import GroupCotangents


class MaskedEngine:
    """Masks the cotangent of the anchors to the rows of a group, and pulls it back through the training's own graph.

    A pull-back is linear in the cotangent, so the contributions add up to the gradient. This holds for train-mode BatchNorm,
    attention, tied weights and dropout, too: all groups share the statistics and the dropout masks of the whole batch.
    """

    name = "masked"

    def __init__(self, params: Sequence[nn.Parameter]) -> None:
        self._params = list(params)

    def arm(self) -> None:
        """Does nothing: the graph of the forward pass holds everything that is needed."""

    def disarm(self) -> None:
        """Does nothing: the engine keeps nothing of a step."""

    def measure(
        self,
        losses: Sequence[Tensor],
        anchors: Sequence[Tensor],
        rows: RowsByGroup,
        wanted: Sequence[tuple[int, int]],
        backward: Callable[[], None],
    ) -> list[Grads]:
        """Runs the pull-backs, then ``backward``; see ``Engine.measure``."""
        found = pull_back(losses, anchors, rows, wanted, self._params)
        backward()
        return found


def pull_back(
    losses: Sequence[Tensor],
    anchors: Sequence[Tensor],
    rows: RowsByGroup,
    wanted: Sequence[tuple[int, int]],
    params: Sequence[nn.Parameter],
) -> list[Grads]:
    """Returns the gradient of ``params`` for each wanted (component, group). The graph stays in place.

    Each costs one backward pass through the network. Each component costs one backward pass from its loss to the anchors.

    Args:
        losses: The loss components.
        anchors: The tensors whose rows are samples.
        rows: Which rows belong to which group.
        wanted: Pairs (component, group).
        params: The P parameters.

    Returns:
        One list of P gradients for each pair; None where a parameter gets no gradient.
    """
    direct = {c: GroupCotangents(losses[c], anchors, rows) for c in dict.fromkeys(c for c, _ in wanted)}
    found: list[Grads] = []
    for component, group in wanted:
        pairs = zip(anchors, direct[component].of(group), strict=True)
        reached = [(anchor, cotangent) for anchor, cotangent in pairs if cotangent is not None]
        if not reached or not params:
            found.append([None] * len(params))
            continue
        outputs, seeds = zip(*reached, strict=True)
        found.append(gradients(outputs, params, seeds))
    return found
