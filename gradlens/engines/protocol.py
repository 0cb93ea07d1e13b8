"""The protocol of an engine: what it must do to give the gradient of each group on a measured step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from gradlens.autograd.cotangents import AnchoredLosses
from gradlens.autograd.grads import Grads
from gradlens.batch.rows import RowsByGroup

# (loss component, group). The group None is the `rest`: what reaches the parameters outside every group.
Vector: TypeAlias = tuple[int, int | None]


class EngineRefusal(Exception):
    """An engine cannot measure this model or step exactly. The message names the module and the reason."""


class Engine(Protocol):
    """Computes the group gradients of one backward pass. It leaves ``.grad``, buffers and the random state as they are."""

    name: str

    def arm(self) -> None:
        """Prepares for the forward pass of a measured step.

        Raises:
            EngineRefusal: This engine cannot measure some part of the model exactly.
        """

    def arm_again(self) -> None:
        """Prepares for another forward pass of the same step, after ``measure``.

        Raises:
            EngineRefusal: See ``arm``.
        """

    def disarm(self) -> None:
        """Undoes ``arm``, and drops all references to tensors of the step."""

    def measure(
        self,
        passed: AnchoredLosses,
        rows: RowsByGroup,
        wanted: Sequence[tuple[int, int]],
        backward: Callable[[], None],
    ) -> list[Grads]:
        """Runs ``backward`` exactly once, and returns the wanted gradients.

        Args:
            passed: The loss components and the anchors. ``backward`` differentiates the sum of the losses, or that sum times a
                scale.
            rows: Which rows belong to which group.
            wanted: Pairs (component, group).
            backward: The training's own backward pass.

        Returns:
            One gradient vector for each pair, over the measured parameters.

        Raises:
            EngineRefusal: The engine cannot measure this step exactly. ``backward`` has not run.
        """
        ...
