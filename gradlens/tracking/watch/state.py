"""What the patched functions of torch look at now: one named state, which they read before anything else."""

from __future__ import annotations

from enum import IntEnum


class State(IntEnum):
    """How much of the script is looked at, from nothing to everything."""

    OFF = 0
    """Nothing any more: tracking is over."""
    BUSY = 1
    """Nothing while code of ours runs: what it asks of torch is not the script's."""
    IDLE = 2
    """Nothing until an optimizer steps: this step is not measured."""
    BACKWARD = 3
    """Backward passes, each of which is a step; this one is not measured."""
    ALL = 4
    """Forward and backward passes."""


class Watch:
    """Holds the state.

    Attributes:
        state: What is looked at now.
        of_step: The same, but for code of ours that may be running.
    """

    def __init__(self) -> None:
        self.state = self.of_step = State.ALL

    def turn(self, state: State) -> None:
        """Sets what is looked at in this step; OFF is for good."""
        if self.of_step is State.OFF:
            return
        self.of_step = state
        if self.state is not State.BUSY or state is State.OFF:
            self.state = state
