"""The schedule asks its cadence seldom, and decides as one that asks in every step."""

from __future__ import annotations

import itertools
import random

import pytest

from gradlens.measure.schedule.cadence import Budget, Cadence, Every
from gradlens.measure.schedule.clock import HOOKS, PAUSE, Clock
from gradlens.measure.schedule.schedule import WAITING, MeasurementSchedule
from tests.measure.schedule.manual_clock import ManualClock


def asked_in_every_step(cadence: Cadence, watch: ManualClock, durations: list[float], cost: float) -> list[int]:
    clock, due = Clock(), []
    for step, seconds in enumerate(durations):
        measured = cadence.due(step)
        watch.now += seconds + cost * measured
        clock.own(cost * measured)
        plain, added = clock.step_ended(measured)
        cadence.spent(plain, added) if measured else cadence.passed(1, plain)
        due += [step] * measured
    return due


def asked_seldom(cadence: Cadence, watch: ManualClock, durations: list[float], cost: float) -> tuple[list[int], int]:
    schedule, due, asked = MeasurementSchedule(cadence), [], 0
    look = True
    for seconds in durations:
        measured = False
        if look:
            asked += 1
            measured = schedule.due()
            if not measured:
                schedule.rest()
        watch.now += seconds + cost * measured
        if measured:
            due.append(schedule.step)
            schedule.clock.own(cost)
            schedule.end(measured=True)
            look = True
        else:
            look = not schedule.rested()
            if look:
                schedule.end(measured=False)
    return due, asked


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("make", [lambda: Every(1), lambda: Every(7), lambda: Budget(0.05), lambda: Budget(0.5)])
def test_it_measures_what_a_cadence_asked_in_every_step_measures(watch, make, seed) -> None:
    noise = random.Random(seed)
    durations = [noise.uniform(0.9, 1.1) for _ in range(3 * WAITING)]
    expected = asked_in_every_step(make(), watch, durations, 1.5)
    found, asked = asked_seldom(make(), watch, durations, 1.5)
    assert found == expected
    assert len(expected) > 1
    if len(expected) < len(durations) // 10:
        assert asked < len(durations) // 2


def test_a_step_that_is_set_is_looked_at_anew(watch) -> None:
    schedule = MeasurementSchedule(Every(100))
    schedule.step = 50
    assert not schedule.due()
    schedule.rest()
    schedule.step = 7
    assert not schedule.rested()  # 8 is before 100, but so it could be before any other
    assert not schedule.due()
    schedule.rest()
    assert [schedule.rested() for _ in range(93)] == [True] * 92 + [False]
    assert schedule.step == 99
    schedule.end(measured=False)
    assert schedule.step == 100
    assert schedule.due()


def test_pauses_earn_no_more_than_a_few_steps_each(watch) -> None:
    noise = random.Random(0)
    durations = [50.0 if noise.random() < 0.03 else noise.uniform(0.9, 1.1) for _ in range(3 * WAITING)]
    found, _ = asked_seldom(Budget(0.05), watch, durations, 1.5)
    earned = sum(min(seconds, PAUSE * 1.1) for seconds in durations)
    assert 1.5 * len(found) <= 0.05 * earned + 1.5
    assert 1.5 * len(found) >= 0.8 * 0.05 * earned


def test_hooks_use_up_to_four_fifths_of_a_budget(watch) -> None:
    """Steps of 400 us and measurements of 4 ms: without hooks a step takes 388 us. 5 % are 19.4 us, of which hooks take 12.

    Of the 28 us of a step of 40 us, 5 % are 1.4 us. A fifth of it is left for measuring.
    """
    counts = {}
    for seconds in (40e-6, 400e-6, 4.0):
        found, _ = asked_seldom(Budget(0.05), watch, [seconds] * 8000, 10 * seconds)
        counts[seconds] = len(found)
    assert counts[4.0] == pytest.approx(8000 * 0.05 / 10, abs=1)
    assert counts[400e-6] == pytest.approx(8000 * 7.4e-6 / 4e-3, abs=1)
    assert counts[40e-6] == pytest.approx(8000 * 0.28e-6 / 0.4e-3, abs=1)


@pytest.mark.parametrize(
    ("plain", "own", "hidden", "after"),
    [(0.0003, 0.004, 0.0012, 0.0002), (0.010, 0.005, 0.002, 0.0003), (0.300, 0.200, 0.150, 0.001)],
)
def test_a_budget_of_5_percent_counts_all_that_a_measurement_costs(watch, plain, own, hidden, after) -> None:
    """What 300 steps and more may take: hooks in every step, measurements, and the step after each of them."""
    schedule, begun, measured = MeasurementSchedule(Budget(0.05)), watch.now, 0
    steps = 100_000 if plain < 0.001 else 300
    late, look = 0.0, True
    for _ in range(steps):
        due = look and schedule.due()
        if look and not due:
            schedule.rest()
        watch.now += plain + HOOKS + late + (own + hidden) * due
        late = after * due
        measured += due
        if due:
            schedule.clock.own(own)
        look = due or not schedule.rested()
        if look:
            schedule.end(measured=due)
    ratio = (watch.now - begun) / (plain * steps)
    assert ratio <= 1.05 + 1e-3
    assert ratio >= 1.035  # and the budget is used
    assert measured >= 3
    assert schedule.clock.overhead == pytest.approx(ratio - 1, abs=0.004)


def test_what_a_late_second_measurement_leaves_over_is_not_spent_on_neighbouring_steps(watch) -> None:
    """Steps of 10 ms. The first measurement takes 40 ms, each later one 5 ms: 10 steps pay for one, 300 steps for 150 ms."""
    schedule, due, look = MeasurementSchedule(Budget(0.05)), [], True
    for step in range(300):
        measured = look and schedule.due()
        if look and not measured:
            schedule.rest()
        cost = measured * (0.005 if due else 0.040)
        due += [step] * measured
        watch.now += 0.010 + HOOKS + cost
        schedule.clock.own(cost)
        look = measured or not schedule.rested()
        if look:
            schedule.end(measured=measured)
    apart = [after - before for before, after in itertools.pairwise(due)]
    assert apart[0] > 150  # as if the second took as long as the first
    assert min(apart) >= 5
    assert len(due) == pytest.approx(1 + (150 - 40) / 5, abs=2)


@pytest.mark.parametrize("cost", [0.0005, 0.004])
def test_each_step_is_measured_if_the_budget_pays_for_it(watch, cost) -> None:
    found, _ = asked_seldom(Budget(0.5), watch, [0.010] * 40, cost)
    assert found[3:] == list(range(found[3], 40))  # the length of the first step is not known, so it pays for nothing


def test_steps_that_were_passed_over_are_in_the_account(watch) -> None:
    schedule = MeasurementSchedule(Every(10**6))
    for _ in range(3 * WAITING + 5):
        watch.now += 2.0
        schedule.end(measured=False)
    assert schedule.clock.training == pytest.approx(2.0 * (3 * WAITING + 4))  # nobody saw the first begin
    assert schedule.clock.typical == 2.0
    assert schedule.clock.overhead == pytest.approx(HOOKS / 2)
