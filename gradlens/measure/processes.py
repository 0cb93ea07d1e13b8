"""TrainingProcesses: what a meter must know of the processes that train one model.

``TrainingProcesses`` is the interface. ``SingleProcess`` is the one for a training in a single process;
``gradlens.distributed.joint_processes`` has the one for several.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from gradlens.autograd.float_range import in_range
from gradlens.autograd.grads import Grads
from gradlens.autograd.inner_products import inner_products
from gradlens.batch.rows import RowsByGroup
from gradlens.engines import EngineSwitch
from gradlens.measure.step_state import StepState


class StepDropped(Exception):
    """Another process cannot measure this step, so no process measures it."""


class TrainingProcesses(Protocol):
    """The processes that train one model. The measured vectors are those of the global batch, the same in each process.

    Attributes:
        alone: Whether no other process averages the gradients.
        shards: Whether each process holds a part of each gradient.
    """

    alone: bool
    shards: bool

    def engine_for(self, engine: str) -> tuple[str, str | None]:
        """Returns the engine to use, and why it is not the one that was asked for (None if it is)."""
        ...

    def meter_made(self, params: Sequence[nn.Parameter]) -> None:
        """Is called when a new meter is made, which measures these parameters."""

    def measured_steps(self, here: int) -> int:
        """Returns how many steps were measured. This number decides which step is checked.

        Args:
            here: Number of steps of which this process has measured a part.
        """
        ...

    def agree(
        self, step: StepState, losses: Sequence[Tensor], reached: Sequence[int], rows: RowsByGroup, switch: EngineSwitch
    ) -> RowsByGroup:
        """Agrees on a backward pass that is about to be measured.

        Args:
            step: The step, before the pass.
            losses: One loss for each component.
            reached: The components that depend on the anchors.
            rows: The rows by group in this process.
            switch: The engine in use.

        Returns:
            The rows, with counts that say which groups have samples in any process.

        Raises:
            StepDropped: Another process cannot measure the pass.
        """
        ...

    def largest(self, rows: RowsByGroup) -> int | None:
        """Returns the group whose vector all processes take as the difference; None if the meter may choose it."""
        ...

    def agree_on_rest(self) -> None:
        """Agrees on a backward pass that goes through no samples.

        Raises:
            StepDropped: Another process cannot measure the pass.
        """

    def keeps(self) -> bool:
        """Says, after a backward pass, whether its vectors must be kept until the step ends."""
        ...

    def add_up(self, step: StepState, params: Sequence[nn.Parameter]) -> None:
        """Adds up the sums of all processes at the end of a step, in ``step``.

        Args:
            step: The step.
            params: P parameters.

        Raises:
            StepDropped: The processes have measured different things.
        """

    def averaged(self, vectors: Sequence[Grads], at: Sequence[int], params: Sequence[nn.Parameter]) -> Sequence[Grads]:
        """Returns the means of vectors over all processes.

        Args:
            vectors: Vectors of this process, over the parameters ``at``.
            at: Indices of parameters.
            params: All P parameters.
        """
        ...

    def in_range(
        self, vectors: Sequence[Grads], home: torch.device, sized: Sequence[Grads]
    ) -> tuple[Sequence[Grads], Tensor]:
        """Returns vectors divided by 2 ** exponent, and the exponent: the same in each process. See ``float_range.in_range``."""
        ...

    def inner_products(
        self, vectors: Sequence[Grads], params: Sequence[nn.Parameter], layer_of: Sequence[int], layers: int
    ) -> Tensor:
        """Returns [L, W, W] inner products over whole parameters; see ``autograd.inner_products``."""
        ...


class SingleProcess:
    """A single process. It needs no agreement with others."""

    alone = True
    shards = False

    def engine_for(self, engine: str) -> tuple[str, str | None]:
        """See ``TrainingProcesses``."""
        return engine, None

    def meter_made(self, params: Sequence[nn.Parameter]) -> None:
        """See ``TrainingProcesses``."""

    def measured_steps(self, here: int) -> int:
        """See ``TrainingProcesses``."""
        return here

    def agree(
        self,
        step: StepState,  # noqa: ARG002
        losses: Sequence[Tensor],  # noqa: ARG002
        reached: Sequence[int],  # noqa: ARG002
        rows: RowsByGroup,
        switch: EngineSwitch,  # noqa: ARG002
    ) -> RowsByGroup:
        """See ``TrainingProcesses``."""
        return rows

    def largest(self, rows: RowsByGroup) -> int | None:  # noqa: ARG002
        """See ``TrainingProcesses``."""
        return None

    def agree_on_rest(self) -> None:
        """See ``TrainingProcesses``."""

    def keeps(self) -> bool:
        """See ``TrainingProcesses``."""
        return False

    def add_up(self, step: StepState, params: Sequence[nn.Parameter]) -> None:
        """See ``TrainingProcesses``."""

    def averaged(
        self,
        vectors: Sequence[Grads],
        at: Sequence[int],  # noqa: ARG002
        params: Sequence[nn.Parameter],  # noqa: ARG002
    ) -> Sequence[Grads]:
        """See ``TrainingProcesses``."""
        return vectors

    def in_range(
        self, vectors: Sequence[Grads], home: torch.device, sized: Sequence[Grads]
    ) -> tuple[Sequence[Grads], Tensor]:
        """See ``TrainingProcesses``."""
        return in_range(vectors, home, sized=sized)

    def inner_products(
        self, vectors: Sequence[Grads], params: Sequence[nn.Parameter], layer_of: Sequence[int], layers: int
    ) -> Tensor:
        """See ``TrainingProcesses``."""
        return inner_products(vectors, params, layer_of, layers)
