"""The options of `gradlens track`: read where they make sense, and else refused with the grammar."""

from __future__ import annotations

import json
import re

import pytest

from gradlens.tracking.errors import TrackError
from gradlens.tracking.options import TrackOptions, check_groups, parse_budget, read_groups


@pytest.mark.parametrize(("text", "value"), [("5%", 0.05), ("0.05", 0.05), ("100%", 1.0), ("1", 1.0), ("0.5%", 0.005)])
def test_a_budget_is_a_fraction_or_a_percentage(text, value):
    assert parse_budget(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["0", "101%", "5", "-1%", "nan", "", "%", "5 percent"])
def test_other_budgets_are_refused(text):
    with pytest.raises(TrackError, match=re.escape(f"--budget {text!r} is no fraction of training time")):
        parse_budget(text)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "within 5% of the training time"),
        ({"budget": 0.125}, "within 12.5% of the training time"),
        ({"every": 1}, "every step"),
        ({"every": 20}, "every 20 steps"),
    ],
)
def test_how_often_is_measured_in_words(options, words):
    assert TrackOptions(**options).cadence == words


@pytest.mark.parametrize("text", ["head-tail", "shots", "per-class", "a=0", "a=0-3,b=4+9"])
def test_groups_that_can_be_read(text):
    check_groups(text)


@pytest.mark.parametrize("text", ["", "tails", "a", "a:0", "a=0,a=1", "a=0,b=0"])
def test_other_groups_are_refused(text):
    with pytest.raises(TrackError, match=r"^--groups: .*or one of the rules head-tail, shots, frequency, per-class"):
        check_groups(text)


def test_groups_of_something_that_is_no_run(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps([1]))
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(TrackError, match=f"^--groups-from {re.escape(str(folder))}: "):
            read_groups(folder)
