"""StepHooks: calls functions of gradlens before and after each step of an optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from gradlens.guards.script_modes import unseen


class StepHooks:
    """Hooks on one optimizer at a time.

    Some trainings step inside the backward pass: they have an optimizer for each parameter, and call it as soon as the
    parameter's gradient is there. Such a step counts when the pass is over.
    """

    def __init__(
        self, rested: Callable[[], bool], after: Callable[[], None], fail: Callable[[Exception], None]
    ) -> None:
        """Keeps its arguments; ``follow`` installs the hooks.

        Args:
            rested: Is called first after a step, or after the backward pass around it. Returns whether the step needs nothing
                more.
            after: Is called next, if ``rested`` returned False.
            fail: Is given an error of gradlens, which must not reach the training's step.
        """
        self._rested, self._after, self._fail = rested, after, fail
        self._handles: list[RemovableHandle] = []
        self._optimizer: Optimizer | None = None
        self._before: RemovableHandle | None = None
        self._stepping = self._unwanted = False
        self._inside = self._stepped = False

    def follow(self, optimizer: Optimizer | None) -> None:
        """Puts the hooks on this optimizer, and takes them off the one before. None: on no optimizer."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._optimizer = [], optimizer
        self.before(None)
        if optimizer is not None:
            self._handles = [optimizer.register_step_post_hook(self.over)]

    def before(self, action: Callable[[Optimizer], None] | None) -> None:
        """Calls a function before the next steps, unless they are inside a backward pass. None: no more.

        Only steps that are measured need it, so that others call nothing.
        """
        if action is None and self._stepping:
            self._unwanted = True  # torch may be calling the hooks right now: they must not change then
            return
        self._unwanted = False
        if self._before is not None:
            self._before.remove()
            self._before = None
        if action is None or self._optimizer is None:
            return

        def call(optimizer: Any, *_: Any) -> None:
            self._stepping = True
            try:
                if not self._inside:
                    unseen(action, optimizer)
            except Exception as error:
                self._fail(error)

        self._before = self._optimizer.register_step_pre_hook(call)

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
        self._stepping = False
        if self._inside:
            self._stepped = True
            return
        try:
            if self._unwanted:
                self.before(None)
            if not self._rested():
                unseen(self._after)
        except Exception as error:
            self._fail(error)
