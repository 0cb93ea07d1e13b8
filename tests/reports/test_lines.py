"""Lines of text for a terminal, beside those of rich."""

import io
import random

import pytest
from rich.console import Console
from rich.text import Text

from gradlens.reports import lines

WORDS = ("a", "of", "tail:", "38.1%", "[37.7%,", "measurements-000.arrows", "長い名前", "é", "x" * 30, "a-method-" * 4)


def by_rich(text, width):
    file = io.StringIO()
    Console(file=file, width=width).print(Text(text, overflow="fold"))
    return [line.rstrip() for line in file.getvalue().splitlines()]


@pytest.mark.parametrize("seed", range(40))
def test_texts_are_wrapped_as_rich_does(seed):
    rng = random.Random(seed)
    text = " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 40)))
    width = rng.choice((11, 20, 33, 80))
    found = lines.wrapped(text, width)
    assert "".join(found).replace(" ", "") == text.replace(" ", ""), "nothing is lost"
    assert all(lines.cells(line) <= width for line in found)
    if all(lines.cells(word) <= width for word in text.split()):  # rich may leave longer words on a line of their own
        assert [line.rstrip() for line in found] == by_rich(text, width)


def test_lines_and_tabs_within_a_text():
    assert lines.wrapped("a\nb\tc", 20) == ["a", "b       c"]
    assert lines.wrapped("", 20) == [""]


def test_wide_and_combining_characters():
    assert [lines.cells(text) for text in ("ab", "長い", "e\u0301", "")] == [2, 4, 1, 0]
    assert lines.wrapped("長い名前", 5) == ["長い", "名前"]


def test_styles_are_codes_only_in_colour():
    line = [(" run  ", "bold"), ("x", ""), ("   ", "dim"), ("  ", "")]
    assert lines.joined([line, ()], color=False) == " run  x\n\n"
    assert lines.joined([line], color=True) == "\x1b[1m run  \x1b[0mx\n"


@pytest.mark.parametrize(
    ("named", "terminal", "expected"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, True, False),
        ({"FORCE_COLOR": "1"}, False, True),
    ],
)
def test_when_there_are_colours(monkeypatch, named, terminal, expected):
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal, raising=False)
    assert lines.in_color() is expected


def test_the_width(monkeypatch):
    monkeypatch.setenv("COLUMNS", "133")
    assert lines.terminal_width() == 133
    monkeypatch.setenv("COLUMNS", "0")
    assert lines.terminal_width() >= lines.NARROWEST


def test_what_the_encoding_lacks_is_replaced(monkeypatch):
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", file)
    lines.write("─ é\n")
    assert file.buffer.getvalue() == b"? ?\n"
