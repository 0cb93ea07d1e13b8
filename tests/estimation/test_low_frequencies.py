"""The power of a series at its lowest frequencies."""

import numpy as np
from scipy.fft import dct

from gradlens.estimation.low_frequencies import powers, usable
from tests.estimation.autoregressive import autoregressive


def test_powers_are_those_of_scipy():
    for n in (40, 41, 1000):
        x = np.random.default_rng(n).standard_normal((2, n))
        np.testing.assert_allclose(powers(x), dct(x - x.mean(1, keepdims=True), norm="ortho")[:, 2:] ** 2, atol=1e-12)


def test_the_slower_a_series_the_fewer_of_its_powers_count():
    counts = [np.median([usable(powers(x)) for x in autoregressive(1000, phi, 30)]) for phi in (0.0, 0.5, 0.9)]
    assert counts[0] > 400 > 150 > counts[1] > 30 > 25 > counts[2] > 4
