"""Torn, corrupt, foreign and newer files: a clear error or a warning, and everything readable is read."""

import pytest

from gradlens.runlog import Run
from tests.runlog.made import SEGMENT, write_run


def test_a_run_that_was_closed_says_that_its_end_is_gone(four_batches):
    data = (four_batches / SEGMENT).read_bytes()
    (four_batches / SEGMENT).write_bytes(data[:-100])
    run = Run(four_batches)
    assert len(run) == 192
    assert len(run.warnings) == 1
    assert "bytes at the end are damaged and left out" in run.warnings[0]


def test_a_damaged_beginning_is_a_warning_and_other_segments_are_read(four_batches):
    write_run(four_batches, range(150, 160), layers=True, resume=True)
    data = bytearray((four_batches / SEGMENT).read_bytes())
    data[8:40] = bytes(32)
    (four_batches / SEGMENT).write_bytes(data)
    run = Run(four_batches)
    assert run.steps.tolist() == list(range(150, 160))
    assert "its beginning is damaged" in run.warnings[0]


def test_nothing_is_unpickled(four_batches, monkeypatch):
    import pickle

    monkeypatch.setattr(pickle, "loads", lambda *_: pytest.fail("unpickled"))
    monkeypatch.setattr(pickle, "Unpickler", lambda *_: pytest.fail("unpickled"))
    Run(four_batches).cosine("tail")
