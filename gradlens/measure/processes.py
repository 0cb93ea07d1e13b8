"""TrainingProcesses: what a meter asks of the processes of a training; ``Alone`` answers for a single one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from gradlens.autograd.float_range import in_range
from gradlens.autograd.grads import Grads
from gradlens.autograd.inner_products import inner_products
from gradlens.batch.rows import Rows
from gradlens.engines import EngineSwitch
from gradlens.measure.step_state import StepState


class StepDropped(Exception):
    """Another process cannot measure this step, so none does."""


class TrainingProcesses(Protocol):
    """The processes that train one model. What is measured are vectors of the global batch, the same in each process.

    Attributes:
        alone: Whether no other process averages the gradients.
        shards: Whether each process holds a part of each gradient.
    """

    alone: bool
    shards: bool

    def engine_for(self, engine: str) -> tuple[str, str | None]:
        """Returns the engine that is exact here instead of the one asked for, and why it is another one (None: it is not)."""
        ...

    def meter_made(self, params: Sequence[nn.Parameter]) -> None:
        """Takes note that a new meter measures these parameters."""

    def measured_steps(self, here: int) -> int:
        """Returns how many steps were measured, by which checks go.

        Args:
            here: Steps of which this process has measured a part.
        """
        ...

    def agree(
        self, step: StepState, losses: Sequence[Tensor], reached: Sequence[int], rows: Rows, switch: EngineSwitch
    ) -> Rows:
        """Agrees on a backward pass that is about to be measured.

        Args:
            step: The step, before the pass.
            losses: One loss for each component.
            reached: The components that depend on the anchors.
            rows: The rows by group in this process.
            switch: The engine in use.

        Returns:
            The rows, with the counts that say which groups take part.

        Raises:
            StepDropped: Another process cannot measure the pass.
        """
        ...

    def largest(self, rows: Rows) -> int | None:
        """Returns the group that all processes take for the one with most samples; None: the meter chooses."""
        ...

    def agree_on_rest(self) -> None:
        """Agrees on a backward pass that passes through no samples."""

    def keeps(self) -> bool:
        """Says, after a backward pass, whether its vectors are needed until the step ends."""
        ...

    def add_up(self, step: StepState, params: Sequence[nn.Parameter]) -> None:
        """Adds up what the processes hold of a step that ends."""

    def averaged(self, vectors: Sequence[Grads], at: Sequence[int], params: Sequence[nn.Parameter]) -> Sequence[Grads]:
        """Returns means over the processes of vectors over the parameters number ``at``."""
        ...

    def in_range(
        self, vectors: Sequence[Grads], home: torch.device, sized: Sequence[Grads]
    ) -> tuple[Sequence[Grads], Tensor]:
        """Returns vectors divided by 2 ** exponent, and the exponent, the same in each process; see ``float_range.in_range``."""
        ...

    def inner_products(
        self, vectors: Sequence[Grads], params: Sequence[nn.Parameter], layer_of: Sequence[int], layers: int
    ) -> Tensor:
        """Returns [L, W, W] inner products over whole parameters; see ``autograd.inner_products``."""
        ...


class Alone:
    """A single process, which has nobody to agree with."""

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
        rows: Rows,
        switch: EngineSwitch,  # noqa: ARG002
    ) -> Rows:
        """See ``TrainingProcesses``."""
        return rows

    def largest(self, rows: Rows) -> int | None:  # noqa: ARG002
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
