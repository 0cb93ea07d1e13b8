"""The distance that noise makes is estimated and taken off."""

import numpy as np
import pytest
from scipy.signal import lfilter

from gradlens.estimation.noisy_distance import BIAS, SPREAD, corrected, distance, distance_interval


def shares_of(steps, groups, apart=0.0, phi=0.0, seed=0):
    """[steps, groups] shares with AR(1) noise that add up to 1; the expected distortion is ``apart``."""
    noise = np.random.default_rng(seed).standard_normal((steps + 100, groups))
    noise = lfilter([1], [1, -phi], noise, axis=0)[100:] * np.sqrt(1 - phi**2) / groups
    noise -= noise.mean(1, keepdims=True)
    shift = np.linspace(1, -1, groups)
    return 1 / groups + noise + apart * shift / (0.5 * np.abs(shift).sum())


@pytest.mark.parametrize("apart", [0.0, 0.05, 0.3])
@pytest.mark.parametrize("groups", [2, 3, 10, 100])
def test_groups_and_steps_do_not_change_what_is_estimated(groups, apart):
    fractions = np.full(groups, 1 / groups)
    for steps in (30, 300):
        found = [distance(shares_of(steps, groups, apart, seed=seed), fractions) for seed in range(60)]
        plug_in = np.mean(
            [0.5 * np.abs(shares_of(steps, groups, apart, seed=seed).mean(0) - fractions).sum() for seed in range(60)]
        )
        noise = np.mean([one.noise for one in found])
        bias = np.mean([one.value for one in found]) - apart
        assert -0.3 * noise < bias < (0.85 if groups == 2 else 0.7 if groups == 3 else 0.4) * noise
        if apart == 0:  # what noise alone shows is known, and most of it is taken off
            assert plug_in == pytest.approx(noise, rel=0.2)
            assert bias < 0.9 * plug_in


@pytest.mark.parametrize(
    ("groups", "apart", "phi"), [(2, 0.3, 0.0), (3, 0.05, 0.5), (10, 0.3, 0.5), (10, 0.0, 0.0), (100, 0.3, 0.0)]
)
def test_the_interval_holds_the_true_distortion(groups, apart, phi):
    fractions = np.full(groups, 1 / groups)
    found = [
        distance_interval([distance(shares_of(300, groups, apart, phi, seed=seed), fractions)]).within(0.0, np.inf)
        for seed in range(100)
    ]
    given = [i for i in found if i.measurable]
    assert len(given) > 80
    assert np.mean([i.low <= apart <= i.high for i in given]) >= 0.9


def test_what_is_left_of_the_bias_is_as_small_as_it_says():
    z = np.linspace(-12, 12, 24_001)
    of_z = 2 * np.array([corrected([one], [1.0]) for one in z])
    for delta in np.linspace(0, 6, 61):
        weight = np.exp(-((z - delta) ** 2) / 2)
        mean = (of_z * weight).sum() / weight.sum()
        deviation = np.sqrt((of_z**2 * weight).sum() / weight.sum() - mean**2)
        assert abs(mean - delta) <= BIAS
        assert deviation <= SPREAD + 0.01
