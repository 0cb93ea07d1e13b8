"""Min/max buckets against a plain loop, with gaps, and quickly on a million points."""

import time

import numpy as np
import pytest

from gradlens.figures._downsample import min_max, rows_seen, visible


def test_what_fits_is_kept_whole():
    np.testing.assert_array_equal(min_max([3, 1, 2, 5], 4), [0, 1, 2, 3])
    assert len(min_max([], 10)) == 0


def test_by_hand():
    # 0 and 9 are kept as the ends; two buckets: [9 1 5 3] at 1..4 and [4 4 8 0] at 5..8
    np.testing.assert_array_equal(min_max([7, 9, 1, 5, 3, 4, 4, 8, 0, 7], 6), [0, 1, 2, 7, 8, 9])


@pytest.mark.parametrize(("n", "points"), [(101, 10), (1000, 37), (4999, 400), (10_000, 2000), (7, 4), (2003, 2001)])
def test_no_spike_is_lost_and_no_point_is_too_many(n, points):
    values = np.random.default_rng(n).standard_normal(n)
    values[np.random.default_rng(1).integers(0, n, n // 20)] = np.nan
    kept = min_max(values, points)
    assert len(kept) <= points
    assert (np.diff(kept) > 0).all()
    assert (kept[0], kept[-1]) == (0, n - 1)
    assert np.nanargmax(values) in kept
    assert np.nanargmin(values) in kept
    # between two kept points nothing lies outside of what is kept within a bucket on either side
    size = -(-(n - 2) // ((points - 2) // 2))
    for start in range(1, n - 1, size):
        bucket = values[start : min(start + size, n - 1)]
        if np.isfinite(bucket).any():
            inside = values[kept[(kept >= start) & (kept < min(start + size, n - 1))]]
            assert np.nanmax(inside) == np.nanmax(bucket)
            assert np.nanmin(inside) == np.nanmin(bucket)


def test_a_gap_stays_a_gap():
    values = np.random.default_rng(0).standard_normal(1000)
    values[400:600] = np.nan
    kept = min_max(values, 100)
    assert np.isnan(values[kept]).any()
    assert np.isfinite(values[kept]).sum() >= 70
    empty = min_max(np.full(1000, np.nan), 100)
    assert 2 <= len(empty) <= 100
    assert (empty[0], empty[-1]) == (0, 999)


def test_infinite_values_are_extremes():
    values = np.zeros(1000)
    values[[300, 700]] = np.inf, -np.inf
    assert {300, 700} <= set(min_max(values, 50).tolist())


def test_a_window_gets_all_the_points():
    x = np.arange(10_000) / 10
    values = np.sin(x)
    kept = visible(x, values, 200, (100, 110))
    # everything from 100 to 110 (101 points) and one more on either side
    np.testing.assert_array_equal(kept, np.arange(999, 1102))
    assert len(visible(x, values, 50, (100, 900))) <= 50
    np.testing.assert_array_equal(visible(x, values, 50, (110, 100)), visible(x, values, 50, (100, 110)))
    assert len(visible(x, values, 50, (2000, 3000))) == 1
    np.testing.assert_array_equal(visible(x, values, 50), min_max(values, 50))


def test_too_few_points():
    with pytest.raises(ValueError, match="points=3"):
        min_max([1, 2], 3)


def test_a_million_points_are_quick():
    values = np.random.default_rng(0).standard_normal(1_000_000)
    values[::7] = np.nan
    best = min(_seconds(values) for _ in range(5))
    assert best < 0.15  # 10 ms on an idle core


def _seconds(values):
    start = time.perf_counter()
    min_max(values, 2000)
    return time.perf_counter() - start


def test_rows_within_a_window_of_steps_and_of_times():
    steps = np.array([0, 10, 20, 30])
    for window, rows in {
        (5, 25): (1, 3), (10, 20): (1, 3), (9.5, 20.5): (1, 3), (10.5, 19.5): (2, 2), (40, -5): (0, 4), (-9, -1): (0, 0),
        (31, 99): (4, 4), (-np.inf, 10.0): (0, 2),
    }.items():  # fmt: skip
        assert rows_seen(steps, window) == rows_seen(steps / 1.0, window) == rows
