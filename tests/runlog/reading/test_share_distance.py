"""The estimate behind the distortion: which steps it takes, and what an absent group counts."""

import numpy as np
import pytest

from gradlens.groups import ClassGroups
from gradlens.runlog.reading.share_distance import distance_of, shares_of_steps
from tests.analysis.plane_runs import write

HALVES = ClassGroups({"head": [0], "tail": [1]}, 2)


def test_an_absent_group_has_no_share_of_the_step(tmp_path):
    # |head|^2 = 9, 9, 1 and |tail|^2 = 1, none, 1
    run = write(tmp_path / "run", [3, 3, 1], [1, None, 1], groups=HALVES)
    used = np.ones(3, bool)
    np.testing.assert_allclose(shares_of_steps(run, used, None), [[0.9, 0.1], [1, 0], [0.5, 0.5]])
    np.testing.assert_allclose(shares_of_steps(run, np.array([True, False, False]), None), [[0.9, 0.1]])


def test_a_step_without_any_share_is_left_out(tmp_path):
    run = write(tmp_path / "run", [3, 0], [1, 0], groups=HALVES)  # a gradient of zero has no shares
    np.testing.assert_allclose(shares_of_steps(run, np.ones(2, bool), None), [[0.9, 0.1]])


def test_only_steps_from_start_to_before_stop_count(tmp_path):
    run = write(tmp_path / "run", [3] * 10 + [1] * 10, [1] * 20, groups=HALVES)
    assert distance_of(run, stop=10).value == pytest.approx(0.4)  # 0.9 and 0.1 against halves
    assert distance_of(run, start=10).value == pytest.approx(0)
    assert distance_of(run).value == pytest.approx(0.2, abs=1e-5)  # the jump counts a little as noise
    assert distance_of(run, 9, 11).value == pytest.approx(0, abs=0.2)
