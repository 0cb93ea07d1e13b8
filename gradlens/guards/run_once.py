"""RunOnce: the training's own backward pass, which must run exactly once, whatever a measurement does around it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import torch

from gradlens.guards.own_pass import KEY
from gradlens.guards.script_modes import seen


class RunOnce:
    """Wraps the training's backward pass, runs it, and records how that went.

    Attributes:
        ran: Whether it was called.
        error: The exception that it raised: an error of the training, not of gradlens. None if there was none.
        seconds: How long it took, in seconds. This is no cost of measuring.
        before: Is called right before it runs, to undo what gradlens' own passes have changed.
    """

    def __init__(self, backward: Callable[[], None]) -> None:
        self._backward = backward
        self.ran = False
        self.error: BaseException | None = None
        self.seconds = 0.0
        self.before: Callable[[], None] = _nothing

    def __call__(self) -> None:
        """Runs the backward pass.

        Raises:
            BaseException: The backward pass raised it.
            AssertionError: It ran before. This is an error of gradlens.
        """
        if self.ran:
            raise AssertionError("the backward pass was asked for twice")
        self.ran = True
        try:
            self.before()
        finally:  # the training goes on even if ``before`` raised an error
            torch._C._stash_obj_in_tls(KEY, False)  # from here on the script's hooks run
            self._run()

    def finish(self) -> None:
        """Runs the backward pass unless it has run. Its exception is ``error``, which the caller raises."""
        if not self.ran:
            with contextlib.suppress(BaseException):
                self()

    def _run(self) -> None:
        begun = time.perf_counter()
        try:
            seen(self._backward)
        except BaseException as error:
            self.error = error
            raise
        finally:
            self.seconds = time.perf_counter() - begun


def _nothing() -> None:
    pass
