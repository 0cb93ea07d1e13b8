"""State: what the patched functions of torch look at now. They read it before anything else."""

from __future__ import annotations

from enum import IntEnum


class State(IntEnum):
    """How much of the script is looked at, from OFF (nothing) to ALL (everything)."""

    OFF = 0
    """Nothing, for good: tracking is over."""
    BUSY = 1
    """Nothing, because code of gradlens runs: its calls of torch are not the script's."""
    IDLE = 2
    """Nothing until the optimizer has stepped: this step is not measured."""
    BACKWARD = 3
    """Backward passes only: each of them is a step, and the current one is not measured."""
    ALL = 4
    """Forward and backward passes."""


class Watch:
    """Holds the state.

    Attributes:
        state: What is looked at now; BUSY while code of gradlens runs.
        of_step: What is looked at in this step; never BUSY.
        busy_for: The pass of the script around which code of gradlens runs. Another thread may have one of its own.
    """

    def __init__(self) -> None:
        self.state = self.of_step = State.ALL
        self.busy_for: object = None

    def turn(self, state: State) -> None:
        """Sets what is looked at in this step; OFF is for good."""
        if self.of_step is State.OFF:
            return
        self.of_step = state
        if self.state is not State.BUSY or state is State.OFF:
            self.state = state

    def whole(self) -> bool:
        """Says whether forward and backward passes are looked at now."""
        return self.state is State.ALL
