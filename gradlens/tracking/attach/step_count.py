"""StepCount: how many training steps went by before there was a lens to count them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook

from gradlens.tracking.attach.other_models import OtherModels


class StepCount:
    """Counts the steps of every optimizer, and backward passes, from the first backward pass on.

    Of every one, because whose steps are training steps is known only once labels are: they may be found some steps later.

    Attributes:
        others: What they train, of which some turns out not to be measured.
    """

    def __init__(self, fail: Callable[[Exception], None]) -> None:
        """Begins to count.

        Args:
            fail: Takes errors of ours that happen in the training's own optimizer steps.
        """
        self._fail = fail
        self.others = OtherModels()
        self._counts: WeakKeyDictionary[Optimizer, int] = WeakKeyDictionary()
        self._backwards = self._of_last_step = 0
        self._handle = register_optimizer_step_post_hook(self._stepped)

    def backward_ran(self) -> None:
        """Counts a backward pass, which is a step where no optimizer steps."""
        self._backwards += 1

    def of(self, optimizer: Optimizer | None) -> int:
        """Returns how many steps an optimizer has taken, or, without one, how many backward passes came before this one."""
        return max(self._backwards - 1, 0) if optimizer is None else self._counts.get(optimizer, 0)

    def begun(self) -> bool:
        """Says whether a backward pass came before this one since an optimizer stepped."""
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
