"""Texts from files cannot control the terminal."""

from __future__ import annotations

import pytest

from gradlens.guards.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain tail, 5 %: \u00fcber \u4e2d\u6587 \U0001f600", None),
        ("tab\tand\nnewline", None),
        ("\x1b[2Jgone", r"\x1b[2Jgone"),
        ("bell\x07 back\x08 return\r", r"bell\x07 back\x08 return\r"),
        ("\x7f\x9b1m", r"\x7f\x9b1m"),
        ("a\u202eb\u2066c\u200f", r"a\u202eb\u2066c\u200f"),
    ],
)
def test_control_characters_are_shown_as_escape_sequences(text, shown):
    assert printable(text) == (text if shown is None else shown)
