"""Numbers that are not finite, and a loss that grows."""

import math

import numpy as np
import pytest

from gradlens.diagnosis.finding import Severity
from gradlens.diagnosis.numbers import growing_loss, not_finite


def test_steps_that_are_not_finite_are_counted(made):
    found = not_finite(made(broken=(7, 300)))
    assert found.severity is Severity.PROBLEM
    assert "In 2 of 400 measured steps (0.5%)" in found.sentence
    assert "first time in step 7" in found.sentence
    assert not_finite(made()) is None


def test_a_loss_that_explodes(made):
    found = growing_loss(made(loss=lambda at: np.full(2, 2.3 * math.exp(4 * at))))
    assert found.number == pytest.approx(3, abs=0.05)  # exp(4 * 0.75) between the middles of the quarters
    assert "as much [19.6, 21.0]" in found.sentence


def test_a_loss_that_falls_or_stays_is_no_finding(made):
    assert growing_loss(made()) is None
    assert growing_loss(made(loss=lambda _: np.full(2, 2.0))) is None
