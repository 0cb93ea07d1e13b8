"""HeldError: an error in a hook of gradlens never reaches the training; gradlens' own code raises it later."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch.utils.hooks import unserializable_hook

from gradlens.guards.script_modes import unseen


class HeldError:
    """Keeps the first error of gradlens' hooks that run inside the training's own passes.

    ``check`` raises it later, where gradlens' own code can handle it.

    Attributes:
        error: The first error; None if there was none.
    """

    def __init__(self) -> None:
        self.error: Exception | None = None

    def run(self, hook: Callable[..., None], *args: Any) -> None:
        """Calls a hook. Keeps its exception instead of raising it."""
        try:
            unseen(hook, *args)
        except Exception as error:
            self.hold(error)

    def hook(self, function: Callable[..., None], *args: Any) -> Callable[..., None]:
        """Returns a tensor hook that runs ``function``. torch saves the tensor without this hook, and does not warn."""
        hook: Callable[..., None] = unserializable_hook(partial(self.run, function, *args))  # type: ignore[no-untyped-call]
        return hook

    def hold(self, error: Exception) -> None:
        """Keeps the error, unless an earlier one is kept already."""
        self.error = self.error or error

    def check(self) -> None:
        """Raises the error that was kept, if there is one.

        Raises:
            Exception: The first error of a hook.
        """
        if self.error is not None:
            raise self.error
