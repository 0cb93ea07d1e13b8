"""Notices: what is said of the training once, on the terminal and in the run's log."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gradlens.tracking.messages import say

if TYPE_CHECKING:
    from gradlens.lens import Lens


class Notices:
    """Says one thing of a kind.

    Attributes:
        said: What was said, by its kind.
    """

    def __init__(self, lens: Callable[[], Lens | None]) -> None:
        """Prepares.

        Args:
            lens: Returns the lens, whose log gets what is said from when there is one.
        """
        self._lens = lens
        self.said: dict[str, str] = {}

    def say(self, kind: str, text: str) -> None:
        """Says something, unless something of its kind was said."""
        if kind in self.said:
            return
        self.said[kind] = text
        say(text, everywhere=kind == "internal-error")
        lens = self._lens()
        if lens is not None:
            lens.event(kind, message=text)
