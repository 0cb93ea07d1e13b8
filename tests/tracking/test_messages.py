"""What tracking says goes to the process's own standard error, once for all processes of a training."""

from __future__ import annotations

import io
import sys

import pytest

from gradlens.tracking import messages
from gradlens.tracking.messages import follow, say


@pytest.fixture
def own(monkeypatch) -> io.StringIO:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "__stderr__", stream)
    monkeypatch.setattr(messages, "_rank", None)
    return stream


def test_lines_have_a_prefix_and_no_control_characters(own, capsys):
    say("run \x1b[2Jx")
    assert own.getvalue() == "gradlens: run \\x1b[2Jx\n"
    assert capsys.readouterr().err == ""  # not to what the script has put in its place


def test_other_processes_leave_it_to_the_first(own):
    follow(3)
    say("for all")
    say("of mine", everywhere=True)
    assert own.getvalue() == "gradlens: process 3: of mine\n"


@pytest.mark.parametrize("stream", ["none", "closed", "full"])
def test_a_standard_error_that_takes_nothing_is_no_error(stream, own, monkeypatch):
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    if stream == "closed":
        own.close()
    else:
        monkeypatch.setattr(sys, "__stderr__", None if stream == "none" else Full())
    say("anything")
