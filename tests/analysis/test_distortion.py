"""A run's distortion and its interval, on shares that are written down."""

from types import SimpleNamespace

import numpy as np
import pytest

from gradlens import ClassGroups
from gradlens.analysis.distortion import distortion, distortion_interval
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
    noise = np.random.default_rng(seed).normal(0, 0.2, 130)  # enough for an interval, whatever the noise looks like
    found = distortion_interval(run_of(0.5 + noise))
    assert 0 <= found.low <= found.value <= found.high


def test_an_interval_of_clear_distortion_holds_it():
    noise = np.random.default_rng(0).normal(0, 0.05, 400)
    found = distortion_interval(run_of(0.8 + noise))
    assert 0.28 < found.low < 0.3 + noise.mean() < found.high < 0.32


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
