"""StepHooks: tells when an optimizer is about to step, and when it has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle


class StepHooks:
    """Hooks on one optimizer at a time.

    Some trainings step inside the backward pass (an optimizer for each parameter, called as soon as its gradient is there).
    Such a step counts when the pass is over.
    """

    def __init__(
        self,
        before: Callable[[], None] | None,
        rested: Callable[[], bool],
        after: Callable[[], None],
        fail: Callable[[Exception], None],
    ) -> None:
        """Prepares.

        Args:
            before: Called before a step, unless it is inside a backward pass; None: nothing is.
            rested: Asked first after a step, or after the backward pass that it is inside of; it knows if nothing is to do.
            after: Called if there is.
            fail: Takes errors of both, which must not reach the step of the training.
        """
        self._before, self._rested, self._after, self._fail = before, rested, after, fail
        self._handles: list[RemovableHandle] = []
        self._inside = self._stepped = False

    def follow(self, optimizer: Optimizer | None) -> None:
        """Listens to this optimizer, and to no other; None: to none."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        if optimizer is not None:
            self._handles = [optimizer.register_step_post_hook(self.over)]
            if (before := self._before) is not None:
                self._handles.append(optimizer.register_step_pre_hook(lambda *_: None if self._inside else before()))

    @property
    def stepped(self) -> bool:
        """Whether the optimizer has stepped inside of the last backward pass."""
        return self._stepped

    def around(self, backward: Callable[[], None]) -> None:
        """Runs a backward pass."""
        self._inside, self._stepped = True, False
        try:
            backward()
        finally:
            self._inside = False
            if self._stepped:  # also where the pass failed after it
                self.over()

    def over(self, *_: Any) -> None:
        """Takes note that a step is over."""
        if self._inside:
            self._stepped = True
            return
        try:
            if not self._rested():
                self._after()
        except Exception as error:
            self._fail(error)
