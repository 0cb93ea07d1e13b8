"""Texts out of files and names of folders, shown so that they cannot steer a terminal."""

from __future__ import annotations

import re

# All control characters but tab and newline; marks that change the direction of writing.
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Returns a text whose control characters are written out."""
    return CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
