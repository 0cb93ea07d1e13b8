"""Notices: prints lines about the training, one of each kind, and writes them into the run's log."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gradlens.tracking.messages import say

if TYPE_CHECKING:
    from gradlens.lens import Lens

PARTIAL = "backward passes with gradient=, create_graph=True or inputs= of some parameters count as 'rest'"


class Notices:
    """Prints only the first line of each kind.

    Attributes:
        said: The printed lines, by their kind.
    """

    def __init__(self, lens: Callable[[], Lens | None]) -> None:
        """Keeps its argument.

        Args:
            lens: Returns the lens, or None. Lines are logged from when there is one.
        """
        self._lens = lens
        self.said: dict[str, str] = {}

    def say(self, kind: str, text: str) -> None:
        """Prints and logs a line, unless one of its kind was printed before."""
        if kind in self.said:
            return
        self.said[kind] = text
        say(text, everywhere=kind == "internal-error")
        lens = self._lens()
        if lens is not None:
            lens.event(kind, message=text)
