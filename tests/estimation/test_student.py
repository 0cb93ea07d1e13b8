"""Quantiles of Student's and Fisher's distributions."""

import pytest
from scipy.stats import f, t

from gradlens.estimation.student import f_probability, t_probability, t_quantile


def test_quantiles_are_those_of_scipy():
    for freedom in (1, 2.5, 4, 30, 5000.5):
        for probability in (0.6, 0.9, 0.975, 0.9995):
            assert t_quantile(probability, freedom) == pytest.approx(t.ppf(probability, freedom), rel=1e-9)
        for value in (-40.0, -2.0, -1e-3, 0.0, 0.7, 30.0):
            assert t_probability(value, freedom) == pytest.approx(t.cdf(value, freedom), rel=1e-9)
    for ratio, a, b in [(0.2, 4, 12), (1.7, 4, 12), (1.05, 400, 4000), (3.0, 1, 1)]:
        assert f_probability(ratio, a, b) == pytest.approx(f.cdf(ratio, a, b), rel=1e-9)
    with pytest.raises(ValueError, match=r"probability=0\.1"):
        t_quantile(0.1, 5)
