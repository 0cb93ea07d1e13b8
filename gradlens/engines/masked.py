"""The masked engine: it runs one extra backward pass for each wanted vector, and is exact for every module."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

from gradlens.autograd.cotangents import AnchoredLosses
from gradlens.autograd.grads import Grads
from gradlens.autograd.pull_back import gradients
from gradlens.autograd.pull_back_together import can_go_together, gradients_together
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

    def arm_again(self) -> None:
        """Does nothing, like ``arm``."""

    def disarm(self) -> None:
        """Does nothing: the engine keeps nothing of a step."""

    def measure(
        self,
        passed: AnchoredLosses,
        rows: RowsByGroup,
        wanted: Sequence[tuple[int, int]],
        backward: Callable[[], None],
    ) -> list[Grads]:
        """Runs the pull-backs, then ``backward``; see ``Engine.measure``."""
        found = pull_back(passed, rows, wanted, self._params)
        passed.release()
        backward()
        return found


def pull_back(
    passed: AnchoredLosses,
    rows: RowsByGroup,
    wanted: Sequence[tuple[int, int]],
    params: Sequence[nn.Parameter],
) -> list[Grads]:
    """Returns the gradient of ``params`` for each wanted (component, group). The graph stays in place.

    Each costs one backward pass through the network; in small networks, one pass is enough for all. Each component costs one
    backward pass from its loss to the anchors.

    Args:
        passed: The losses of the backward pass and its anchors.
        rows: Which rows belong to which group.
        wanted: Pairs (component, group).
        params: The P parameters.

    Returns:
        One list of P gradients for each pair; None where a parameter gets no gradient.
    """
    found: dict[tuple[int, int], Grads] = {}
    for component in dict.fromkeys(c for c, _ in wanted):
        groups = [k for c, k in wanted if c == component]
        for group, vector in zip(groups, _of_component(passed, component, rows, groups, params), strict=True):
            found[component, group] = vector
    return [found[pair] for pair in wanted]


def _of_component(
    passed: AnchoredLosses, component: int, rows: RowsByGroup, groups: Sequence[int], params: Sequence[nn.Parameter]
) -> list[Grads]:
    masked = GroupCotangents(passed, component, rows)
    reached = [number for number, g in enumerate(passed.cotangents(component)) if g is not None]
    if not reached or not params:
        return [[None] * len(params) for _ in groups]
    outputs = [passed.anchors[number] for number in reached]
    if can_go_together(outputs, params, len(groups)):
        seeds = masked.by_group(groups)
        stacked = gradients_together(outputs, params, [seed for seed in seeds if seed is not None])
        columns = [[None] * len(groups) if each is None else each.unbind() for each in stacked]
        return [list(vector) for vector in zip(*columns, strict=True)]
    return [gradients(outputs, params, [g for g in masked.of(group) if g is not None]) for group in groups]
