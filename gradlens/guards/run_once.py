"""Once: a backward pass that runs exactly once, whatever happens around it."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from gradlens.guards.own_pass import KEY


class Once:
    """Wraps the training loop's backward pass.

    Attributes:
        ran: Whether it was called.
        error: What it raised: an error of the training, not of ours.
        seconds: How long it took: no cost of measuring.
        before: Called right before it runs, to undo what our own passes have changed.
    """

    def __init__(self, backward: Callable[[], None]) -> None:
        self._backward = backward
        self.ran = False
        self.error: BaseException | None = None
        self.seconds = 0.0
        self.before: Callable[[], None] = _nothing

    def __call__(self) -> None:
        """Runs it.

        Raises:
            BaseException: Whatever the backward pass raises.
            AssertionError: It ran before: an error of ours.
        """
        if self.ran:
            raise AssertionError("the backward pass was asked for twice")
        self.ran = True
        try:
            self.before()
        finally:  # whatever became of it
            torch._C._stash_obj_in_tls(KEY, False)  # from here on the script's hooks run
            self._run()

    def _run(self) -> None:
        begun = time.perf_counter()
        try:
            self._backward()
        except BaseException as error:
            self.error = error
            raise
        finally:
            self.seconds = time.perf_counter() - begun


def _nothing() -> None:
    pass
