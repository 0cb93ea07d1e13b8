"""JSON that every parser accepts: no NaN, no Infinity, and only texts that can be printed."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from gradlens.runlog.format.strict_json import DEEPEST, dumps, loads, read, readable


def no_constant(name):
    raise AssertionError(f"{name} is no JSON")


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (float("nan"), None),
        ([float("inf"), -float("inf"), 0.5], [None, None, 0.5]),
        (np.float32(0.25), 0.25),
        (np.float64("nan"), None),
        (np.int64(7), 7),
        (np.bool_(True), True),
        (np.array([[1.0, np.nan]]), [[1.0, None]]),
        (torch.tensor([1, 2]), [1, 2]),
        ({1: {2.5: None}}, {"1": {"2.5": None}}),
        ((1, range(2)), [1, [0, 1]]),
        (True, True),
        (Path("a/b"), "a/b"),
        ("half of a pair: \ud800", "half of a pair: ?"),
        ("é", "é"),
    ],
)
def test_everything_becomes_json(value, read):
    assert json.loads(dumps(value), parse_constant=no_constant) == read


def test_a_bool_stays_a_bool_and_an_int_an_int():
    assert dumps([True, 1, 1.0]) == "[true, 1, 1.0]"


def test_nesting_without_end_is_an_error_and_no_crash():
    with pytest.raises(ValueError, match="nested too deeply"):
        loads("[" * 100_000 + "]" * 100_000)


def test_texts_are_made_printable_as_deep_as_allowed():
    assert readable({"a\x1b[2J": ["b\x07", 1, None]}) == {"a\\x1b[2J": ["b\\x07", 1, None]}
    deep: object = "end"
    for _ in range(DEEPEST):
        deep = [deep]
    assert readable(deep) == deep
    with pytest.raises(ValueError, match="nested too deeply"):
        readable([deep])


@pytest.mark.parametrize(
    "text",
    [
        b'{"kind": "mark", "step": 3, "text": "plain", "deep": [[1, null, true, 2.5]]}',
        b'{"text": "\\u001b[31m"}',
        b'{"text": "\x1b[31m"}',
        '{"text": "長い \u202e"}'.encode(),
        b'{"text": "tab\\t \\n \\\\ \\""}',
        b'\n{\n "a": 1\n}\n',
        b'\t{"a": "\x7f"}',
        b"[" * DEEPEST + b"]" * DEEPEST,
        b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1),
        b"[" * 100_000,
        b"\xff",
        b"{",
    ],
)
def test_a_text_is_read_the_same_with_and_without_the_short_way(text):
    def result(way):
        try:
            return way(text)
        except ValueError as error:
            return type(error), str(error)

    assert result(read) == result(lambda t: readable(loads(t)))
