"""The protocol of an engine: the gradients of losses restricted to groups, beside one ordinary backward."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from torch import Tensor

from gradlens.autograd.grads import Grads
from gradlens.batch.rows import Rows

# (loss component, group); a group of None is what reaches the parameters outside every group: `rest`.
Vector: TypeAlias = tuple[int, int | None]


class EngineRefusal(Exception):
    """An engine cannot treat this model or step exactly; the message names the module and the reason."""


class Engine(Protocol):
    """Computes group gradients of one backward pass without touching ``.grad``, buffers or random state."""

    name: str

    def arm(self) -> None:
        """Prepares for the forward pass of a step that will be measured.

        Raises:
            EngineRefusal: The model holds something that this engine cannot treat exactly.
        """

    def disarm(self) -> None:
        """Undoes ``arm`` and drops every reference to tensors of the step."""

    def measure(
        self,
        losses: Sequence[Tensor],
        anchors: Sequence[Tensor],
        rows: Rows,
        wanted: Sequence[tuple[int, int]],
        backward: Callable[[], None],
    ) -> list[Grads]:
        """Runs ``backward`` exactly once and returns the wanted gradients.

        Args:
            losses: The loss components whose sum (or scaled sum) ``backward`` differentiates.
            anchors: The tensors whose rows are samples.
            rows: Which rows belong to which group.
            wanted: Pairs (component, group).
            backward: The ordinary backward of the training loop.

        Raises:
            EngineRefusal: It cannot be exact here; raised before ``backward`` ran.
        """
        ...
