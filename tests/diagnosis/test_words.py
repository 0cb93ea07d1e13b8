"""Numbers and names in sentences."""

import pytest

from gradlens.diagnosis.words import digits, group_text, listed, number_text, percent_text
from gradlens.estimation.interval import Interval


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (2.3456, "2.35"), (-0.83, "-0.830"), (123.4, "123"), (1.5e-5, "1.5e-05"), (2e6, "2.0e+06")],
)
def test_three_digits_are_enough(value, text):
    assert digits(value) == text


def test_intervals_stand_in_brackets_unless_they_have_no_width():
    assert percent_text(Interval(0.5, 0.4, 0.6, 99, 9.0)) == "50.0% [40.0%, 60.0%]"
    assert percent_text(Interval(1.0, 1.0, 1.0, 99, 9.0)) == "100.0%"
    assert number_text(Interval(-0.5, -0.6, -0.4, 99, 9.0)) == "-0.500 [-0.600, -0.400]"


def test_lists_and_names():
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c", "d"]) == "a, b, c and d"
    assert listed(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
    assert (group_text("tail"), group_text("many")) == ("the tail", "group many")
