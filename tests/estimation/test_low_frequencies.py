"""The power of a series at its lowest frequencies."""

import numpy as np
from scipy.fft import dct

from gradlens.estimation.low_frequencies import powers, usable
from tests.estimation.autoregressive import autoregressive


def trends(n):
    """[n, 4] a constant, a parabola and a logarithm of the step."""
    step = np.arange(n) + 0.5
    return np.stack([np.ones(n), step, step**2, np.log(step)], axis=1)


def test_powers_are_those_of_scipy_around_a_fitted_trend():
    for n in (40, 41, 1000):
        x = np.random.default_rng(n).standard_normal((2, n))
        fitted = trends(n) @ np.linalg.lstsq(trends(n), x.T, rcond=None)[0]
        # White noise keeps, of each cosine, the part that no trend can follow.
        cosines = dct(np.eye(n), axis=0, norm="ortho")[3:]
        kept = ((cosines - cosines @ trends(n) @ np.linalg.pinv(trends(n))) ** 2).sum(1)
        np.testing.assert_allclose(powers(x), dct(x - fitted.T, norm="ortho")[:, 3:] ** 2 / kept, rtol=1e-6, atol=1e-9)


def test_a_trend_leaves_no_power():
    course = trends(500) @ [3.0, -0.02, 1e-5, 0.7]
    assert powers(course).max() < 1e-12
    x = np.random.default_rng(0).standard_normal(500)
    np.testing.assert_allclose(powers(x + course), powers(x), atol=1e-8)


def test_white_noise_has_the_same_power_at_all_frequencies():
    mean = powers(np.random.default_rng(1).standard_normal((6000, 60))).mean(0)
    assert abs(mean - 1).max() < 0.08  # the standard error of each is 0.018


def test_the_slower_a_series_the_fewer_of_its_powers_count():
    counts = [np.median([usable(powers(x)) for x in autoregressive(1000, phi, 30)]) for phi in (0.0, 0.5, 0.9)]
    assert counts[0] > 400 > 150 > counts[1] > 30 > 25 > counts[2] > 4
