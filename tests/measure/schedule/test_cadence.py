"""When a step is measured, on a clock that the test sets."""

from __future__ import annotations

import random

import pytest

from gradlens.measure.schedule.cadence import Budget, Every
from gradlens.measure.schedule.clock import PAUSE, Clock
from tests.measure.schedule.manual_clock import ManualClock


def test_every_counts_steps() -> None:
    every = Every(3)
    assert [step for step in range(10) if every.due(step)] == [0, 3, 6, 9]
    every.spent(1.0, 100.0)
    assert every.due(12)
    assert str(Every(1)) == "every step"
    assert str(every) == "every 3 steps"


@pytest.mark.parametrize("fraction", [0.01, 0.05, 0.5])
@pytest.mark.parametrize("cost", [0.1, 1.0, 4.0])
def test_a_budget_keeps_the_overhead(watch: ManualClock, fraction: float, cost: float) -> None:
    """Steps of about 1 s, measuring of about ``cost`` s, half of it hidden in the backward pass, and a pause now and then."""
    budget, clock, noise = Budget(fraction), Clock(), random.Random(0)
    spent = trained = 0.0
    steps = max(int(40 * cost / fraction), 200)
    measured = 0
    for step in range(steps):
        due = budget.due(step)
        if step == 0:
            assert due
        plain = noise.uniform(0.9, 1.1)
        real = noise.uniform(0.8, 1.2) * cost if due else 0.0
        hidden = min(0.5 * real, 0.5)
        found = watch.step(clock, plain, real - hidden, hidden)
        budget.spent(found[0], found[1] if due else 0.0)
        if step % 100 == 50:
            watch.now += 500  # an evaluation; it earns next to nothing
        spent += real
        trained += plain
        measured += due
        if step == steps // 2:
            halfway = measured
    assert measured >= 0.7 * steps * min(fraction / cost, 1)
    assert measured > halfway  # it goes on to the end
    pauses = PAUSE * (steps // 100 + 1)
    assert spent <= fraction * (trained + pauses) * 1.1 + 2 * cost


def test_a_budget_that_measures_nothing_else_than_the_first_step_before_it_earned_it() -> None:
    budget = Budget(0.1)
    budget.spent(0.0, 0.5)
    due = []
    for step in range(1, 31):
        due.append(budget.due(step))
        if due[-1]:
            break
        budget.spent(1.0, 0.0)
    # 0.5 s are spent and 0.5 s will be: earned after 10 s of training.
    assert due == [False] * 10 + [True]
    assert str(budget) == "within 10% of the training time"


@pytest.mark.parametrize("n", [0, -1, 2.0, "3"])
def test_every_needs_a_number_of_steps(n: object) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Every(n)  # type: ignore[arg-type]


@pytest.mark.parametrize("fraction", [0, -0.1, 1.5, float("nan")])
def test_a_budget_is_a_fraction(fraction: float) -> None:
    with pytest.raises(ValueError, match=r"such as 0\.05"):
        Budget(fraction)
