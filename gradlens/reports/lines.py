"""Lines of styled text in a terminal: how wide texts are, how they are wrapped, and how they are coloured.

A list of thousands of runs is written with it, since rich needs a millisecond for each line. It needs only the standard library.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterable, Sequence

# Names of styles, as in rich -> ANSI codes.
STYLES = {"bold": 1, "dim": 2, "italic": 3, "red": 31, "green": 32, "yellow": 33, "blue": 34, "white": 37, "": 0}
NARROWEST = 20

# Pieces of a line: (text, style).
StyledLine = Sequence[tuple[str, str]]


def cells(text: str) -> int:
    """Returns how many columns of a terminal a text takes."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def _cells(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def wrapped(text: str, width: int) -> list[str]:
    """Returns the lines of a text, at most ``width`` columns each. It breaks at spaces, and within longer words."""
    width = max(width, 2)
    if len(text) <= width and text.isascii() and "\n" not in text and "\t" not in text:
        return [text]
    return [line for part in text.expandtabs().split("\n") for line in _wrapped(part, width)]


def _wrapped(text: str, width: int) -> Iterable[str]:
    if text.isascii():  # nearly all texts: a character is a column
        start = 0
        while len(text) - start > width:
            space = text.rfind(" ", start, start + width + 1)
            stop = space if space > start else start + width
            yield text[start:stop]
            start = stop + (space > start)
        yield text[start:]
        return
    line, used = "", 0
    for word in text.split(" "):
        size = cells(word)
        if line and used + 1 + size <= width:
            line, used = f"{line} {word}", used + 1 + size
            continue
        if line:
            yield line
        while size > width:
            first = _fitting(word, width)
            yield word[:first]
            word = word[first:]
            size = cells(word)
        line, used = word, size
    yield line


def _fitting(text: str, width: int) -> int:
    """Returns how many characters of a text fit into ``width`` columns."""
    used = 0
    for count, character in enumerate(text):
        used += _cells(character)
        if used > width:
            return count
    return len(text)


def joined(lines: Iterable[StyledLine], *, color: bool) -> str:
    """Returns the lines as one text, without spaces at their ends.

    Args:
        lines: The lines.
        color: True to write styles, as ANSI codes.
    """
    if not color:
        return "".join("".join(text for text, _ in line).rstrip() + "\n" for line in lines)
    return "".join("".join(_styled(text, style) for text, style in line).rstrip() + "\n" for line in lines)


def _styled(text: str, style: str) -> str:
    return f"\x1b[{STYLES[style]}m{text}\x1b[0m" if style and text.strip() else text


def terminal_width() -> int:
    """Returns the width of the terminal in characters: COLUMNS, or as it is; 80 if it is not known."""
    asked = os.environ.get("COLUMNS", "")
    if asked.isdecimal() and int(asked):
        return max(int(asked), NARROWEST)
    for stream in (sys.__stdin__, sys.__stdout__, sys.__stderr__):
        try:
            if stream is not None and (found := os.get_terminal_size(stream.fileno()).columns):
                return max(found, NARROWEST)
        except (OSError, ValueError):
            continue
    return 80


def in_color() -> bool:
    """Says whether standard output shows colours. NO_COLOR and FORCE_COLOR are followed."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM", "").lower() in ("dumb", "unknown"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (os.name == "posix" and sys.stdout.isatty())


def write(text: str) -> None:
    """Writes a text to standard output.

    Raises:
        SystemExit: The reader of the output has gone (``| head``).
    """
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
        sys.stdout.flush()
    except BrokenPipeError:
        # Python writes what is left when it ends; there is no reader for it either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
