"""The stretches that a training whose groups are single classes is shown in."""

import numpy as np
import pytest

from gradlens.analysis.per_class import FEWEST_GROUPS, STRETCHES, class_measurements
from gradlens.groups import ClassGroups
from tests.made_runs import make_run


@pytest.mark.parametrize(
    ("steps", "ends"),
    [
        (1, [0]),
        (20, list(range(20))),
        (21, [1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 20]),
        (41, [3, 7, 11, 15, 19, 23, 27, 31, 35, 40]),  # a lone step is no stretch of its own
    ],
)
def test_stretches_take_in_every_step(tmp_path, steps, ends):
    run = make_run(tmp_path / "run", steps=steps, groups=ClassGroups.per_class(FEWEST_GROUPS))
    found = class_measurements(run)
    assert [stretch.step for stretch in found] == ends
    assert len(found) <= STRETCHES
    np.testing.assert_array_equal(sum(stretch.counts for stretch in found), run.counts.sum(0))
    first = 0
    for stretch, last in zip(found, ends, strict=True):
        np.testing.assert_allclose(stretch.gram, run.gram()[first : last + 1].mean(0), rtol=1e-12)
        first = last + 1


def test_stretches_of_a_run_that_grows_stay_or_become_one(tmp_path):
    before: list[int] = []
    for steps in (1, 2, 5, 19, 20, 21, 30, 40, 41, 77, 80, 81, 150, 163):
        run = make_run(tmp_path / f"run{steps}", steps=steps, groups=ClassGroups.per_class(FEWEST_GROUPS))
        ends = [stretch.step for stretch in class_measurements(run)]
        settled = before[-2] if len(before) > 1 else -1  # the last stretch was still growing
        assert {end for end in ends if end <= settled} <= set(before)  # no bound comes where none was
        before = ends
