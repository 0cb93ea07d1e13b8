"""A run's distortion and its interval, on shares that are written down."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.signal import lfilter

from gradlens import ClassGroups
from gradlens.analysis.distortion import distortion, distortion_interval
from gradlens.estimation.noisy_distance import BIAS, SPREAD, corrected, distance, distance_interval
from tests.made_runs import make_run

GROUPS = ClassGroups.parse("head=0-1,tail=2-3", 4)


def run_of(head):
    shares = {"head": np.asarray(head), "tail": 1 - np.asarray(head)}
    return SimpleNamespace(steps=np.arange(len(head)), groups=GROUPS, share=shares.__getitem__)


def test_shares_are_averaged_before_they_are_compared():
    # 0.9 and 0.1 in turns serve both halves of the classes alike; 0.8 always is 0.3 from 0.5.
    assert distortion(run_of([0.9, 0.1] * 20)) == pytest.approx(0.0, abs=1e-12)
    assert distortion(run_of([0.8] * 40)) == pytest.approx(0.3)
    assert distortion(run_of([0.5] * 20 + [0.8] * 20), start=20) == pytest.approx(0.3)


@pytest.mark.parametrize("seed", range(5))
def test_an_interval_does_not_begin_below_zero(seed):
    noise = np.random.default_rng(seed).normal(0, 0.2, 60)
    found = distortion_interval(run_of(0.5 + noise))
    assert 0 <= found.low <= found.value <= found.high


def test_an_interval_of_clear_distortion_holds_it():
    noise = np.random.default_rng(0).normal(0, 0.05, 400)
    found = distortion_interval(run_of(0.8 + noise))
    assert 0.28 < found.low < 0.3 + noise.mean() < found.high < 0.32


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


def test_one_training_measured_at_every_second_and_tenth_step_has_one_distortion():
    head = np.clip(0.7 + 0.3 * np.random.default_rng(0).standard_normal(2000), -0.5, 1.5)
    found = []
    for every in (1, 2, 10):
        run = run_of(head[::every])
        found.append(distortion_interval(run))
    for one in found:
        assert one.low <= 0.2 <= one.high
        assert one.value == pytest.approx(0.2, abs=0.03)


def test_single_step_and_none():
    assert distortion(run_of([0.8])) == pytest.approx(0.3)
    assert np.isnan(distortion(run_of([])))
    assert not distortion_interval(run_of([0.8])).measurable


def test_a_run_gives_the_same_number_under_both_names(tmp_path):
    run = make_run(tmp_path / "run", steps=60, layers=2, absent=0.2)
    assert run.distortion() == distortion(run) > 0
    assert run.distortion("block.0.conv") != run.distortion()
