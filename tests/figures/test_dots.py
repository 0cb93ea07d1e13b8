"""Dots on lines: single values between gaps, and lines with few values."""

import numpy as np

from gradlens import figures


def test_absent_groups_leave_gaps_and_lonely_values_are_seen(runs):
    figure = figures.cosines(runs[0], smooth=1)
    tail, dots = figure.data[1], figure.data[-1]
    absent = np.isnan(runs[0].cosine("tail"))
    assert 30 < absent.sum() < 90
    np.testing.assert_array_equal(np.isnan(tail.y), absent)
    lonely = ~absent & np.append(True, absent[:-1]) & np.append(absent[1:], True)
    assert lonely.any()
    assert (dots.mode, dots.legendgroup, dots.showlegend) == ("markers", "tail", False)
    np.testing.assert_array_equal(dots.x, runs[0].steps[lonely])
    np.testing.assert_array_equal(dots.y, tail.y[lonely])


def dots(figure):
    return [t for t in figure.data if t.mode == "markers"]


def test_few_steps_are_dots_that_the_legend_leaves_out(short, long):
    found = dots(figures.cosines(short))
    assert [t.name for t in found] == ["head", "tail"]
    np.testing.assert_array_equal(found[0].x, short.steps)
    np.testing.assert_allclose(found[1].y, short.cosine("tail"), rtol=1e-6)
    assert not any(t.showlegend for t in found)
    assert not dots(figures.cosines(long, smooth=1))
    assert not dots(figures.cosines(short, smooth=3))  # dots are steps, no means
