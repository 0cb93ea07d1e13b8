"""Errors in one line, and how they end a run."""

from __future__ import annotations

from gradlens.guards.error_text import LONGEST, ending, in_one_line


def test_only_the_first_line_of_a_message_is_shown():
    assert in_one_line(ValueError("  \n first \nsecond")) == "ValueError: first"
    assert in_one_line(KeyError()) == "KeyError"
    assert in_one_line(RuntimeError(" \n ")) == "RuntimeError"


def test_long_lines_are_cut():
    fits = in_one_line(ValueError("x" * (LONGEST - len("ValueError: "))))
    assert fits == "ValueError: " + "x" * (LONGEST - 12)
    cut = in_one_line(ValueError("x" * LONGEST))
    assert cut == fits + "..."


def test_how_a_run_ends():
    assert ending(None) == ("finished", None)
    assert ending(KeyboardInterrupt()) == ("interrupted", "KeyboardInterrupt")
    assert ending(OSError("full")) == ("failed", "OSError: full")
    assert ending(SystemExit(3)) == ("failed", "SystemExit: 3")
