"""HeldError: keeps what goes wrong in our hooks away from the training's own passes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch.utils.hooks import unserializable_hook


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

    def hook(self, function: Callable[..., None], *args: Any) -> Callable[..., None]:
        """Returns a hook for a tensor that runs ``function``; torch saves the tensor without it, and without a warning."""
        hook: Callable[..., None] = unserializable_hook(partial(self.run, function, *args))  # type: ignore[no-untyped-call]
        return hook

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
