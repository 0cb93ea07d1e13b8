"""Makes texts from files and folder names safe to print: they cannot control the terminal."""

from __future__ import annotations

import re

# All control characters except tab and newline, and the marks that change the direction of writing.
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Returns the text with each control character replaced by its escape sequence."""
    if text.isprintable():  # nearly all texts, and a list of runs has many
        return text
    return CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
