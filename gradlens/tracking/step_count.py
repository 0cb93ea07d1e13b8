"""StepCount: how many training steps went by before there was a lens to count them."""

from __future__ import annotations

from collections.abc import Callable

from torch.optim import Optimizer


class StepCount:
    """Counts the steps of an optimizer, or backward passes where there is none."""

    def __init__(self, optimizer: Optimizer | None, fail: Callable[[Exception], None]) -> None:
        self._fail = fail
        self._count = 0
        self._by_backward = optimizer is None
        self._handle = None if optimizer is None else optimizer.register_step_post_hook(lambda *_: self._stepped())

    def backward_ran(self) -> None:
        """Counts a backward pass, which is a step where no optimizer steps."""
        if self._by_backward:
            self._add()

    def end(self) -> int:
        """Stops counting and returns the number of steps."""
        if self._handle is not None:
            self._handle.remove()
        return self._count

    def _stepped(self) -> None:
        try:
            self._add()
        except Exception as error:  # in the training's own step
            self._fail(error)

    def _add(self) -> None:
        self._count += 1
