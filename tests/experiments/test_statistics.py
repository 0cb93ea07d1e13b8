"""The simulations of coverage: the smooth course of a recorded series, and second counts."""

import numpy as np
import pytest
from scipy.signal import lfilter


@pytest.fixture
def module(load_experiment, monkeypatch):
    """Returns a function that imports a file of experiments/statistics."""
    monkeypatch.syspath_prepend(load_experiment.__globals__["EXPERIMENTS"] / "statistics")
    return pytest.importorskip


def test_a_smooth_course_is_a_line_fitted_around_each_step(module):
    course = module("recorded_series").smooth_course
    step = np.arange(200)
    np.testing.assert_allclose(course(3 - 0.5 * step), 3 - 0.5 * step)
    x = np.random.default_rng(0).standard_normal(200)
    gaps = np.where(step % 7 == 3, np.nan, x)
    for values in (x, gaps):
        for t, first, last in ((0, 0, 3), (4, 1, 7), (100, 50, 150), (150, 75, 199)):
            near = step[first : last + 1][np.isfinite(values[first : last + 1])]
            assert course(values)[t] == pytest.approx(np.polyval(np.polyfit(near, values[near], 1), t))


def test_a_fit_finds_the_noise_of_a_record_with_a_steep_start(module):
    recorded = module("recorded_series")
    step, rng = np.arange(1275), np.random.default_rng(1)
    start = 9 * np.exp(-step / 7) + 0.4
    record = start + lfilter([1], [1, -0.3], 0.3 * rng.standard_normal(1275))
    fit = recorded.Fitted.to(record, recorded.smooth_course(record))
    assert fit.phi == pytest.approx(0.3, abs=0.06)
    assert abs(fit.course - start)[200:].max() < 0.15
    # The mean over a window takes the start for noise.
    assert recorded.Fitted.to(record, recorded.mean_course(record)).phi > 0.5


def test_rows_that_cover_too_often_or_too_rarely_are_counted_again(module):
    counts = module("counts")
    again = []

    def second():
        again.append(1)
        return {"holds": "yes", "covers of those given": 0.9512}

    rows = [counts.twice({"holds": word}, second) for word in ("yes", "more", "less", "refused")]
    assert (len(again), [row.get("second count") for row in rows]) == (2, [None, "yes: 0.9512", "yes: 0.9512", None])
    assert counts.tally(rows) == (
        "yes: 1, more: 1, less: 1, refused: 1 of 4 rows. Counted again: yes: 2, more: 0, less: 0, refused: 0.\n"
    )
