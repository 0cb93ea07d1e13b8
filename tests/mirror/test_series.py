"""Names and values of the series: absent values are left out, measured ones that are no number are NaN."""

import math

import numpy as np
import pytest

from gradlens.metrics.measurement import Measurement
from gradlens.mirror.series import evaluation_points, logged_points, measured_points, series_name
from gradlens.runlog import Run, RunWriter
from tests.mirror.runs import made
from tests.runlog.made import meta


@pytest.mark.parametrize(
    ("column", "name"),
    [
        ("cosine/tail", "gradlens/tail/cosine"), ("norm/all", "gradlens/all/norm"), ("residual", "gradlens/all/residual"),
        ("share/ce/tail", "gradlens/ce/tail/share"),
    ],
)  # fmt: skip
def test_names(column, name):
    assert series_name(column) == name


def test_a_gradient_that_is_not_finite_is_nan_and_an_absent_group_is_left_out(tmp_path):
    gram = np.full((3, 3), np.nan)
    gram[0, 0] = gram[2, 2] = np.inf
    gram[0, 2] = gram[2, 0] = np.inf
    with RunWriter(tmp_path / "run", meta()) as writer:
        counts = np.array([4.0, 0.0])
        writer.append(
            Measurement(
                step=3, time=1e9, epoch=None, names=("head", "tail", "rest"), gram=gram, layers=None, counts=counts,
                loss=np.array([1.0, 0.0]), correct=np.zeros(2), residual=math.nan, total_loss=math.inf, seconds=0.1,
            )
        )  # fmt: skip
    (point,) = measured_points(Run(tmp_path / "run"), 0)
    assert math.isnan(point.values["gradlens/head/norm"])
    assert math.isnan(point.values["gradlens/all/total_loss"])  # infinite: no tracker is given a number for it
    assert not any(
        name.startswith("gradlens/tail/")
        for name in point.values
        if "count" not in name and "loss" not in name and "correct" not in name and "share" not in name
    )
    assert "gradlens/tail/norm" not in point.values
    assert point.values["gradlens/tail/count"] == 0


def test_only_what_is_new_is_returned(tmp_path):
    run = made(tmp_path / "run", range(4))
    assert [point.step for point in measured_points(run, 2)] == [2, 3]
    assert measured_points(run, 4) == []
    points, written = logged_points(run, {"val/loss": 3})
    assert ([point.step for point in points], written) == ([3], {"val/loss": 4})
    assert evaluation_points(run, len(run.events)) == []
