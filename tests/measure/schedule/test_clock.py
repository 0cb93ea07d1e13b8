"""What time a step is said to have cost, on a clock that the test sets."""

from __future__ import annotations

import random
from statistics import median

import pytest

from gradlens.measure.schedule.clock import HIDDEN, HOOKS, PAUSE, WINDOW, Clock
from tests.measure.schedule.manual_clock import ManualClock


def test_own_time_is_measuring_and_the_rest_is_training(watch: ManualClock) -> None:
    clock = Clock()
    assert clock.overhead is None
    watch.step(clock, 1.0, own=0.2)  # nobody saw the first step begin
    assert watch.step(clock, 1.0) == (0.0, 0.0)  # it may have been a pause
    assert clock.training == pytest.approx(1.0)
    assert watch.step(clock, 1.0) == pytest.approx((2.0, 0.0))
    for own in (0.3, 0):
        assert watch.step(clock, 1.0, own) == pytest.approx((1.0, own))
    assert clock.training == pytest.approx(4.0)
    assert clock.measuring == pytest.approx(0.5 + 3 * HOOKS)
    assert clock.overhead == pytest.approx(0.125 + 3 * HOOKS / 4)


def test_what_hooks_take_inside_the_backward_pass_is_seen_by_comparison(watch: ManualClock) -> None:
    clock = Clock()
    for _ in range(5):
        watch.step(clock, 1.0)
    assert watch.step(clock, 1.0, own=0.1, hidden=0.4) == pytest.approx((1.0, 0.5))
    # A pause in a measured step is no cost of measuring beyond one typical step.
    plain, added = watch.step(clock, 1.0, own=0.1, hidden=60.0)
    assert added == pytest.approx(1.1)
    assert plain == pytest.approx(PAUSE)


def test_hidden_time_may_be_many_steps_of_a_small_network(watch: ManualClock) -> None:
    clock = Clock()
    for _ in range(5):
        watch.step(clock, 0.0003)
    plain, added = watch.step(clock, 0.0003, own=0.001, hidden=0.002)
    assert (plain, added) == pytest.approx((0.0003, 0.003))
    assert watch.step(clock, 0.0003, own=0.001, hidden=60.0)[1] == pytest.approx(0.001 + HIDDEN)


def test_what_a_measurement_costs_in_the_step_after_it_is_added_to_the_next_one(watch: ManualClock) -> None:
    clock = Clock()
    for _ in range(5):
        watch.step(clock, 0.0003)
    watch.step(clock, 0.0003, own=0.004)
    assert watch.step(clock, 0.0005) == pytest.approx((0.0003, 0.0))
    assert watch.step(clock, 0.0005) == pytest.approx((0.0005, 0.0))  # a later step is longer for reasons of its own
    assert watch.step(clock, 0.0003, own=0.004) == pytest.approx((0.0003, 0.0042))
    assert clock.measuring == pytest.approx(0.0082 + 6 * HOOKS)
    assert watch.step(clock, 0.0002) == pytest.approx((0.0002, 0.0))  # a shorter one is no gain
    assert watch.step(clock, 0.0003, own=0.004) == pytest.approx((0.0003, 0.004))


def test_pauses_earn_no_more_than_a_few_steps(watch: ManualClock) -> None:
    clock = Clock()
    for _ in range(5):
        watch.step(clock, 1.0)
    assert watch.step(clock, 3600.0) == (PAUSE, 0.0)
    watch.now += 30
    clock.outside(30)  # a probe
    assert watch.step(clock, 1.0) == pytest.approx((1.0, 0.0))


def test_a_first_step_without_a_beginning_is_no_yardstick(watch: ManualClock) -> None:
    clock = Clock()
    watch.step(clock, 1.0)  # not measured, as in a resumed run
    assert [watch.step(clock, 2.0)[0] for _ in range(3)] == [0.0, 4.0, 2.0]


def test_a_pause_before_the_first_steps_earns_no_more_than_a_few_of_them(watch: ManualClock) -> None:
    # Somebody runs a single step in a notebook, and the loop ten minutes later.
    clock = Clock()
    watch.step(clock, 1.0, own=0.1)
    assert watch.step(clock, 600.0) == (0.0, 0.0)
    assert watch.step(clock, 1.0) == pytest.approx((PAUSE + 1, 0.0))
    assert watch.step(clock, 1.0) == pytest.approx((1.0, 0.0))
    assert clock.training == pytest.approx(PAUSE + 2)


def test_the_typical_duration_is_the_median_of_the_newest(watch: ManualClock) -> None:
    clock, noise, seen = Clock(), random.Random(1), []
    watch.step(clock, 1.0)
    assert clock.typical == 0.0
    for _ in range(4 * WINDOW):
        seen.append(float(noise.randrange(4, 9)))  # equal ones, too
        watch.step(clock, seen[-1])
        assert clock.typical == median(seen[-WINDOW:])
