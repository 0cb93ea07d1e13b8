"""The power of a series at its lowest frequencies."""

import numpy as np
from scipy.fft import dct

from gradlens.estimation.low_frequencies import powers, usable
from tests.estimation.autoregressive import autoregressive


def trends(n):
    """[n, 8] an orthonormal basis of a parabola of the step and a polynomial of the fifth degree of its logarithm."""
    step = np.arange(n) + 0.5
    logarithm = np.polynomial.legendre.legvander(np.log(step) / np.log(n), 5)
    return np.linalg.svd(np.column_stack([step / n, step**2 / n**2, logarithm]), full_matrices=False)[0]


def test_powers_are_those_of_scipy_around_a_fitted_trend():
    for n in (53, 54, 1000):
        x = np.random.default_rng(n).standard_normal((2, n))
        fitted = trends(n) @ np.linalg.lstsq(trends(n), x.T, rcond=None)[0]
        # White noise keeps, of each cosine, the part that no trend can follow.
        cosines = dct(np.eye(n), axis=0, norm="ortho")[5:]
        kept = ((cosines - cosines @ trends(n) @ np.linalg.pinv(trends(n))) ** 2).sum(1)
        np.testing.assert_allclose(powers(x), dct(x - fitted.T, norm="ortho")[:, 5:] ** 2 / kept, rtol=1e-6, atol=1e-9)


def test_a_trend_leaves_no_power():
    step = np.arange(500) + 0.5
    course = 3 - 0.02 * step + 1e-5 * step**2 + 0.7 * np.log(step) - 0.03 * np.log(step) ** 5
    assert powers(course).max() < 1e-12
    x = np.random.default_rng(0).standard_normal(500)
    np.testing.assert_allclose(powers(x + course), powers(x), atol=1e-8)


def test_white_noise_has_the_same_power_at_all_frequencies():
    mean = powers(np.random.default_rng(1).standard_normal((6000, 60))).mean(0)
    assert abs(mean - 1).max() < 0.08  # the standard error of each is 0.018


def test_the_slower_a_series_the_fewer_of_its_powers_count():
    counts = [np.median([usable(powers(x)) for x in autoregressive(1000, phi, 30)]) for phi in (0.0, 0.5, 0.9)]
    assert counts[0] > 400 > 150 > counts[1] > 30 > 25 > counts[2] > 4
