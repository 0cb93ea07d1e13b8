"""Shared by the tables of the terminal: the width of a wide one, and functions that make texts of users safe and short."""

from __future__ import annotations

from gradlens.guards.printable import printable

# A terminal with fewer characters in a line gets fewer columns, or intervals under their values.
WIDE = 120


def escape(text: str) -> str:
    """Returns the text without a meaning for rich or for the terminal: markup and control characters are shown as text."""
    from rich.markup import escape as escape_markup  # here: a list of runs is written without rich

    return escape_markup(printable(text))


def cut(text: str | None, most: int) -> str:
    """Returns the text in one line of at most ``most`` characters; "..." stands for the rest."""
    text = " ".join((text or "").split())
    return text if len(text) <= most else text[: most - 3] + "..."
