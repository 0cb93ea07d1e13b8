"""Running means, and what fluctuates around them."""

import numpy as np
import pytest

from gradlens.estimation.smoothing import fluctuations, running_mean


def test_running_mean_by_hand():
    np.testing.assert_allclose(running_mean([1, 2, 3, 10], 3), [1.5, 2, 5, 6.5])
    np.testing.assert_allclose(running_mean([1, 2, 3, 10], 2), [1, 1.5, 2.5, 6.5])
    np.testing.assert_allclose(running_mean([1, np.nan, np.nan, np.nan, 5], 3), [1, 1, np.nan, 5, 5])
    np.testing.assert_array_equal(running_mean([4, 7], 1), [4, 7])
    assert running_mean([], 3).shape == (0,)
    with pytest.raises(ValueError, match="window=0"):
        running_mean([1], 0)


def test_fluctuations_estimate_the_variance_around_a_trend():
    rng = np.random.default_rng(0)
    x = 3 * rng.standard_normal(20_000) + np.linspace(0, 500, 20_000)
    assert np.mean(fluctuations(x, 20) ** 2) == pytest.approx(9, rel=0.05)
    # two in a window: half the difference, times sqrt(2)
    np.testing.assert_allclose(fluctuations([1, 3], 2), [np.nan, np.sqrt(2)])
    np.testing.assert_array_equal(np.isnan(fluctuations([1, np.nan, 3, 4], 2)), [True, True, True, False])
