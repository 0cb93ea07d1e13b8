"""StepCount: how many training steps went by before there was a lens to count them."""

from __future__ import annotations

from torch.optim import Optimizer


class StepCount:
    """Counts the steps of an optimizer, or backward passes where there is none."""

    def __init__(self, optimizer: Optimizer | None) -> None:
        self._count = 0
        self._by_backward = optimizer is None
        self._handle = None if optimizer is None else optimizer.register_step_post_hook(lambda *_: self._add())

    def backward_ran(self) -> None:
        """Counts a backward pass, which is a step where no optimizer steps."""
        if self._by_backward:
            self._add()

    def end(self) -> int:
        """Stops counting and returns the number of steps."""
        if self._handle is not None:
            self._handle.remove()
        return self._count

    def _add(self) -> None:
        self._count += 1
