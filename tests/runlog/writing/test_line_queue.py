"""Lines that wait to be written: in order, numbered once, and not before a device has delivered their numbers."""

import json
from pathlib import Path

import pytest

from gradlens.runlog.writing import line_queue
from gradlens.runlog.writing.append import SinkError
from gradlens.runlog.writing.line_queue import LineQueue


class Late:
    """Stands for a number on its way from a GPU."""

    def __init__(self):
        self.there = False

    def __float__(self):
        return 0.5


def written(folder: Path) -> list:
    path = folder / "logged.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_number_that_has_not_arrived_holds_back_its_line_and_those_after_it(tmp_path):
    queue, late = LineQueue(tmp_path, None, "logged.jsonl"), Late()
    for values in ({"a": 1}, {"a": late, "b": 2}, {"a": 3}):
        queue.add({"kind": "logged", "values": values})
    queue.write()
    assert [line["values"] for line in written(tmp_path)] == [{"a": 1.0}]
    late.there = True
    queue.write()
    assert [line["values"] for line in written(tmp_path)] == [{"a": 1.0}, {"a": 0.5, "b": 2.0}, {"a": 3.0}]
    assert [line["gradlens_line"] for line in written(tmp_path)] == [0, 1, 2]
    assert queue.written == 3


def test_the_last_write_waits(tmp_path):
    queue = LineQueue(tmp_path, None, "logged.jsonl")
    assert not queue.used
    queue.add({"kind": "logged", "values": {"a": Late()}})
    queue.write(wait=True)
    assert queue.used
    assert [line["values"] for line in written(tmp_path)] == [{"a": 0.5}]


def test_lines_that_could_not_be_written_keep_their_numbers(tmp_path):
    queue = LineQueue(tmp_path / "later", None, "logged.jsonl")
    queue.add({"kind": "logged", "values": {"a": 1}})
    with pytest.raises(SinkError):
        queue.write()
    assert queue.written == 0
    (tmp_path / "later").mkdir()
    queue.add({"kind": "logged", "values": {"a": 2}})
    queue.write()
    assert [(line["gradlens_line"], line["values"]["a"]) for line in written(tmp_path / "later")] == [
        (0, 1.0),
        (1, 2.0),
    ]


def test_the_oldest_line_is_dropped_where_too_many_wait(tmp_path, monkeypatch):
    monkeypatch.setattr(line_queue, "MOST_LINES", 2)
    queue = LineQueue(tmp_path, None, "logged.jsonl")
    assert [queue.add({"kind": "logged", "values": {"a": i}}) for i in range(3)] == [False, False, True]
    queue.write()
    assert [line["values"]["a"] for line in written(tmp_path)] == [1.0, 2.0]
