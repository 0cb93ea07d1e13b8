"""Texts of users have no power over the terminal's tables, and fit into a line."""

import io

import pytest
from rich.console import Console

from gradlens.reports.terminal import cut, escape


@pytest.mark.parametrize("text", ["[red]x[/red]", "[link=file:///etc]x[/link]", "[/nothing]", "a\\[b]"])
def test_a_text_is_printed_as_it_is(text):
    file = io.StringIO()
    Console(file=file, width=80).print(escape(text))
    assert file.getvalue() == f"{text}\n"


def test_a_text_cannot_steer_the_terminal():
    assert escape("a\x1b[31m\x07") == escape("a\\x1b[31m\\x07")
    assert "\x1b" not in escape("\x1b]0;title\x07")


def test_long_texts_are_cut_and_lines_joined():
    assert cut("one\n  two\tthree", 20) == "one two three"
    assert cut("0123456789", 10) == "0123456789"
    assert cut("0123456789a", 10) == "0123456..."
    assert cut(None, 5) == ""
