"""Steps of no length, uphill, or from another gradient."""

import pytest

from gradlens.diagnosis.stepping import no_step, other_gradient, uphill


def test_steps_that_change_nothing(made):
    found = no_step(made(rate=lambda _: 0.0))
    assert found.number == 1
    assert found.sentence.startswith("In 100.0% of the steps the optimizer changes no parameter")
    late = no_step(made(rate=lambda at: 0.0 if at > 0.4 else 0.01))
    assert "at the end of the training" in late.sentence


def test_a_warm_up_from_zero_is_no_finding(made):
    assert no_step(made(rate=lambda at: min(at, 0.01))) is None
    assert no_step(made()) is None


def test_climbing(made):
    found = uphill(made(rate=lambda _: -0.01))
    assert found.number == pytest.approx(-1)
    assert uphill(made()) is None


def test_another_gradient(made):
    found = other_gradient(made(other_gradient=0.5))
    assert found.number == pytest.approx(0.5, abs=0.1)
    assert other_gradient(made()) is None
