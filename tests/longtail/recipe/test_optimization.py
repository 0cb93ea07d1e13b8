"""Learning-rate schedules, by hand."""

import math

import pytest

from gradlens.longtail.recipe.optimization import CosineDecay


def test_cosine_decay_by_hand():
    # (1 + cos(pi t / T)) / 2 for T = 8: 1 at the start, 1/2 at T/2, (1 - cos(pi / 8)) / 2 in the last epoch
    assert CosineDecay().factor(0, 8) == 1
    assert CosineDecay().factor(4, 8) == pytest.approx(0.5)
    assert CosineDecay().factor(7, 8) == pytest.approx((1 - math.sqrt(2 + math.sqrt(2)) / 2) / 2)
    # T = 3: cos(pi / 3) = 1/2, cos(2 pi / 3) = -1/2
    assert [CosineDecay().factor(t, 3) for t in range(3)] == pytest.approx([1, 0.75, 0.25])


def test_cosine_decay_warms_up_linearly():
    assert [CosineDecay(warm_up=4).factor(t, 8) for t in range(5)] == pytest.approx([0.25, 0.5, 0.75, 1, 0.5])
