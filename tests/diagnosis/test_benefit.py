"""Whether steps help or hurt each group."""

import pytest

from gradlens.diagnosis.benefit import benefit
from gradlens.diagnosis.finding import Severity

# With nine heads to one tail, the step follows the head against the tail.
HURT = {"drawn": lambda _: (0.9, 0.1), "pulls": ((1.0, 0.0), (-0.8, 0.5)), "noise": 0.2}


def test_steps_that_raise_a_groups_loss_are_a_problem(made):
    run = made(**HURT)
    found = benefit(run)
    assert found.severity is Severity.PROBLEM
    # lr <m_tail, 0.9 m_head + 0.1 m_tail>, in two layers
    assert found.number == pytest.approx(2 * 0.01 * (0.9 * -0.8 + 0.1 * 0.89), rel=0.05)
    assert "raises the loss of the tail by 0.012" in found.sentence
    assert "lowers that of the head by 0.01" in found.sentence


def test_steps_that_help_all_are_fine(made):
    found = benefit(made())
    assert found.severity is Severity.FINE
    assert found.interval.low > 0


def test_without_the_update_there_is_no_answer(made):
    assert benefit(made(update=False)) is None
