"""Which measurements are checked against independent pull-backs."""

from __future__ import annotations

from gradlens.measure.schedule.checks import is_checked


def test_an_exact_engine_is_checked_first_and_every_fiftieth_time():
    assert [n for n in range(201) if is_checked(n, always_exact=True)] == [0, 50, 100, 150, 200]


def test_another_engine_is_checked_more_often_at_first():
    found = [n for n in range(151) if is_checked(n, always_exact=False)]
    assert found == [0, 1, 2, 4, 8, 16, 32, 50, 100, 150]  # not 64 and 128: by then it is known
