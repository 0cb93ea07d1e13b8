"""Once: a backward pass that runs exactly once, whatever happens around it."""

from __future__ import annotations

from collections.abc import Callable


class Once:
    """Wraps the training loop's backward pass.

    Attributes:
        ran: Whether it was called.
        error: What it raised: an error of the training, not of ours.
    """

    def __init__(self, backward: Callable[[], None]) -> None:
        self._backward = backward
        self.ran = False
        self.error: BaseException | None = None

    def __call__(self) -> None:
        """Runs it.

        Raises:
            BaseException: Whatever the backward pass raises.
        """
        self.ran = True
        try:
            self._backward()
        except BaseException as error:
            self.error = error
            raise
