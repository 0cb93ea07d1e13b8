"""Bars of shares: what they add up to, and their borders."""

import numpy as np
import pytest

from gradlens import figures


def test_shares_add_up_to_one(runs):
    figure = figures.shares(runs[0])
    total = np.sum([t.y for t in figure.data], axis=0)
    np.testing.assert_allclose(total, 1, atol=1e-3)
    assert figure.layout.barmode == "relative"
    dashed = [s for s in figure.layout.shapes if s.line.dash == "dash"]
    assert [s.y0 for s in dashed] == pytest.approx([0.7])


def test_few_bars_are_labelled_at_their_borders(short, long):
    assert list(figures.shares(short).layout.xaxis.tickvals) == [0, 3, 6, 9, 12, 15]
    assert figures.shares(long).layout.xaxis.tickvals is None
