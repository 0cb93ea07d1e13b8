"""HeldError: keeps what goes wrong in our hooks away from the training's own passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class HeldError:
    """Holds the first error of hooks that run inside passes of the training, until our own code can raise it.

    Attributes:
        error: The first one; None while all goes well.
    """

    def __init__(self) -> None:
        self.error: Exception | None = None

    def run(self, hook: Callable[..., None], *args: Any) -> None:
        """Calls a hook and lets no exception out."""
        try:
            hook(*args)
        except Exception as error:
            self.hold(error)

    def hold(self, error: Exception) -> None:
        """Keeps an error if it is the first."""
        self.error = self.error or error

    def check(self) -> None:
        """Raises the error that is held, if there is one.

        Raises:
            Exception: The first that was held.
        """
        if self.error is not None:
            raise self.error
