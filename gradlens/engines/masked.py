"""The masked engine: exact for every module, one extra backward for each wanted vector."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from gradlens.autograd.grads import Grads
from gradlens.autograd.pull_back import gradients
from gradlens.batch.rows import Rows
from gradlens.engines.masks import GroupCotangents


class MaskedEngine:
    """Pulls the masked cotangent of the anchors back over the retained graph of the one forward pass.

    Linear in the cotangent, so contributions add up to the gradient exactly with train-mode BatchNorm, attention, tied
    weights, dropout: every group sees the statistics and the masks of the whole batch.
    """

    name = "masked"

    def __init__(self, params: Sequence[nn.Parameter]) -> None:
        self._params = list(params)

    def arm(self) -> None:
        """Nothing to prepare: the graph of the forward pass holds everything."""

    def disarm(self) -> None:
        """Nothing to drop."""

    def measure(
        self,
        losses: Sequence[Tensor],
        anchors: Sequence[Tensor],
        rows: Rows,
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
    rows: Rows,
    wanted: Sequence[tuple[int, int]],
    params: Sequence[nn.Parameter],
) -> list[Grads]:
    """Returns for every wanted (component, group) its gradient at ``params``, leaving the graph in place.

    One backward pass over the network each, plus one over the loss for each component.
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
