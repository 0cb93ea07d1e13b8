"""StepHook: a hook that stays with the module on which it was installed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any


class StepHook:
    """A module hook for one step of this process; copies of the module, and saved ones, get a hook that does nothing.

    A training may copy its model at any moment (an exponential moving average) or save it whole. The stand-in is a method
    of the standard library, so that loading such a file does not need gradlens.
    """

    def __init__(self, hook: Callable[..., None], fail: Callable[[Exception], None]) -> None:
        """Prepares.

        Args:
            hook: What is called.
            fail: Takes its errors, which must not reach the training's forward pass.
        """
        self._hook, self._fail = hook, fail

    def __call__(self, *args: Any) -> None:
        """Calls the hook."""
        try:
            self._hook(*args)
        except Exception as error:
            self._fail(error)

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (nullcontext(), "__exit__")
