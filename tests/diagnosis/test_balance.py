"""Which group is left out of the average step, and that none is."""

import numpy as np
import pytest

from gradlens.diagnosis.balance import balance
from gradlens.diagnosis.finding import Severity

LONG_TAILED = {"data": (500,) * 5 + (20,) * 5, "drawn": lambda _: (0.96, 0.04)}


def test_a_tail_of_few_samples_is_left_out(made):
    run = made(**LONG_TAILED)
    found = balance(run)
    assert found.severity is Severity.PROBLEM
    assert found.number == pytest.approx(
        np.nan_to_num(run.share("tail")).mean(), abs=1e-12
    )  # a tail without a sample has share 0
    assert found.interval.high < 0.05
    assert found.sentence.startswith("The training hardly follows the tail: it makes up 2.")
    assert "50.0% of the classes" in found.sentence
    assert "logit-adjustment (Menon et al. 2021)" in found.advice


def test_balanced_data_leave_nobody_out(made):
    found = balance(made())
    assert found.severity is Severity.FINE
    assert found.interval.low > 0.25
    assert found.sentence.startswith("No group is left out")


def test_the_last_phase_decides_and_the_first_is_told(made):
    run = made(drawn=lambda at: (1.0, 0.0) if at < 0.5 else (0.5, 0.5), phases=(("I", 0), ("II", 200)))
    found = balance(run)
    assert found.severity is Severity.FINE
    assert found.number == pytest.approx(0.5, abs=0.03)
    assert "in phase I it was 0.0%" in found.sentence


def test_without_an_interval_there_is_no_verdict(made):
    assert balance(made(steps=30)) is None
