"""StepCount: counts the training steps before there is a lens to count them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook

from gradlens.tracking.attach.other_models import OtherModels


class StepCount:
    """Counts the steps of every optimizer, and the backward passes, from the first backward pass on.

    It counts for every optimizer, because it is not known yet which of them trains the measured model: labels may be found
    some steps later.

    Attributes:
        others: Counts the steps of models that are not measured.
    """

    def __init__(self, fail: Callable[[Exception], None]) -> None:
        """Begins to count.

        Args:
            fail: Is given each error of gradlens in the training's own optimizer steps.
        """
        self._fail = fail
        self.others = OtherModels()
        self._counts: WeakKeyDictionary[Optimizer, int] = WeakKeyDictionary()
        self._backwards = self._of_last_step = 0
        self._handle = register_optimizer_step_post_hook(self._stepped)

    def backward_ran(self) -> None:
        """Counts a backward pass. Without an optimizer, each backward pass is a step."""
        self._backwards += 1

    def of(self, optimizer: Optimizer | None) -> int:
        """Returns the number of steps of an optimizer; for None, the number of backward passes before this one."""
        return max(self._backwards - 1, 0) if optimizer is None else self._counts.get(optimizer, 0)

    def begun(self) -> bool:
        """Says whether another backward pass has run before this one since the last optimizer step."""
        return self._backwards - self._of_last_step > 1

    def end(self) -> None:
        """Stops counting."""
        self._handle.remove()

    def _stepped(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:  # noqa: ARG002
        try:
            self._counts[optimizer] = self._counts.get(optimizer, 0) + 1
            self._of_last_step = self._backwards
            self.others.stepped(optimizer)
        except Exception as error:  # in the training's own step
            self._fail(error)
