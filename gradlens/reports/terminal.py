"""What tables of the terminal share: its width, and texts of users without power over it."""

from __future__ import annotations

from rich.markup import escape as escape_markup

from gradlens.guards.printable import printable

# A terminal narrower than this shows fewer columns rather than cut ones.
WIDE = 120


def escape(text: str) -> str:
    """Returns a text that can neither style the table nor steer the terminal."""
    return escape_markup(printable(text))


def cut(text: str | None, most: int) -> str:
    """Returns a text in one line of at most so many characters."""
    text = " ".join((text or "").split())
    return text if len(text) <= most else text[: most - 3] + "..."
