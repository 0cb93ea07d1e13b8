"""An optimizer that moves the balance between the groups, and a gradient that is clipped."""

import pytest

from gradlens.diagnosis.optimizer import clipping, optimizer

APART = {"pulls": ((1.0, 0.0), (0.0, 1.0)), "noise": 0.2}


def test_scaling_that_favours_one_group_is_told(made):
    # Along the step the tail brings 4 / (4 + 0.5) of the fall.
    found = optimizer(made(scaling=(0.5, 4.0), **APART))
    assert found.number == pytest.approx(-(4 / 4.5 - 0.5), abs=0.03)
    assert found.sentence.startswith("The optimizer weakens the head")
    assert found.interval.high < 0


def test_plain_gradient_descent_moves_nothing(made):
    assert optimizer(made(**APART)) is None
    assert optimizer(made(update=False)) is None


def test_clipping_in_most_steps_is_told(made):
    found = clipping(made(clipped=0.9))
    assert found.number == pytest.approx(0.9, abs=0.05)
    assert "30.0% of its length" in found.sentence
    assert clipping(made()) is None
