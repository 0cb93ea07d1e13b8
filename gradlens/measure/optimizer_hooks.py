"""StepHooks: calls functions of gradlens before and after each step of an optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle


class StepHooks:
    """Hooks on one optimizer at a time.

    Some trainings step inside the backward pass: they have an optimizer for each parameter, and call it as soon as the
    parameter's gradient is there. Such a step counts when the pass is over.
    """

    def __init__(
        self,
        before: Callable[[], None] | None,
        rested: Callable[[], bool],
        after: Callable[[], None],
        fail: Callable[[Exception], None],
    ) -> None:
        """Keeps its arguments; ``follow`` installs the hooks.

        Args:
            before: Is called before a step, unless the step is inside a backward pass. None: nothing is called.
            rested: Is called first after a step, or after the backward pass around it. Returns whether the step needs nothing
                more.
            after: Is called next, if ``rested`` returned False.
            fail: Is given an error of ``rested`` or ``after``, which must not reach the training's step.
        """
        self._before, self._rested, self._after, self._fail = before, rested, after, fail
        self._handles: list[RemovableHandle] = []
        self._inside = self._stepped = False

    def follow(self, optimizer: Optimizer | None) -> None:
        """Puts the hooks on this optimizer, and takes them off the one before. None: on no optimizer."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        if optimizer is not None:
            self._handles = [optimizer.register_step_post_hook(self.over)]
            if (before := self._before) is not None:
                self._handles.append(optimizer.register_step_pre_hook(lambda *_: None if self._inside else before()))

    @property
    def stepped(self) -> bool:
        """Whether the optimizer has stepped inside the last backward pass."""
        return self._stepped

    def around(self, backward: Callable[[], None]) -> None:
        """Runs a backward pass. An optimizer step inside it counts at its end."""
        self._inside, self._stepped = True, False
        try:
            backward()
        finally:
            self._inside = False
            if self._stepped:  # even if the pass raised an error after the step
                self.over()

    def over(self, *_: Any) -> None:
        """Is called after each step of the optimizer."""
        if self._inside:
            self._stepped = True
            return
        try:
            if not self._rested():
                self._after()
        except Exception as error:
            self._fail(error)
