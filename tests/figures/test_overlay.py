"""Several runs in one figure: a quantity of a group, and the accuracies of their evaluations."""

import numpy as np
import pytest

from gradlens import figures
from gradlens.figures import FigureError, evaluated_names
from gradlens.groups import ClassGroups
from gradlens.runlog import Run
from tests.dashboard_runs import evaluate, log
from tests.figures.pair import strong, subtitle
from tests.made_runs import make_run


def test_each_run_has_its_own_line(runs):
    figure = figures.overlay(runs, "norm", "tail", smooth=1)
    for run in runs:
        np.testing.assert_allclose(strong(figure, run.name).y, run.norm("tail"), rtol=1e-6)
    assert figure.layout.yaxis.tickformat is None
    assert figures.overlay(runs, "share", "tail").layout.yaxis.tickformat == ".0%"
    assert subtitle(figure).startswith("2 runs")
    assert subtitle(figures.overlay(runs[:1], "norm", "tail")).startswith("lt")


def test_a_group_without_samples_has_no_share_of_the_step(runs):
    share = strong(figures.overlay(runs[:1], "share", "tail", smooth=1), "lt").y
    absent = np.isnan(runs[0].share("tail"))
    assert absent.any()
    np.testing.assert_array_equal(share[absent], 0)


def test_what_cannot_be_drawn_is_said(runs, tmp_path):
    with pytest.raises(FigureError, match="no run to draw"):
        figures.overlay([], "norm", "tail")
    with pytest.raises(FigureError, match="'other' has no group 'tail'; it has a, b"):
        figures.overlay(
            [*runs, make_run(tmp_path / "other", steps=3, groups=ClassGroups({"a": [0], "b": [1]}, 2))], "norm", "tail"
        )
    with pytest.raises(FigureError, match="quantity='loss of all'"):
        figures.overlay(runs, "loss of all", "tail")
    with pytest.raises(FigureError, match="no run to draw"):
        figures.evaluations([])
    empty = figures.overlay([make_run(tmp_path / "empty", steps=0)], "norm", "tail")
    assert "No measured steps." in [a.text for a in empty.layout.annotations]


def test_evaluations_have_a_panel_for_each_accuracy(tmp_path):
    for name, few in (("a", (10.0, 20.0)), ("b", (30.0, 40.0))):
        make_run(tmp_path / name, steps=40)
        evaluate(tmp_path / name, (19, 39), few=few)
    log(tmp_path / "b", kind="evaluation", step=39, split="val", few=True, overall="high")  # no numbers
    pair = [Run(tmp_path / name) for name in "ab"]
    assert evaluated_names(pair) == ["many", "medium", "few", "overall"]
    figure = figures.evaluations(pair)
    found = {(t.name, t.xaxis or "x"): (list(t.x), list(t.y)) for t in figure.data}
    assert found["a", "x3"] == ([19, 39], [10, 20])
    assert found["b", "x3"] == ([19, 39], [30, 40])
    assert found["b", "x4"][1] == pytest.approx([190 / 3, 200 / 3])
    assert [t.name for t in figure.data if t.showlegend] == ["a", "b"]


def test_without_shots_the_groups_are_the_panels(runs, tmp_path):
    assert evaluated_names(runs) == ["head", "tail", "overall"]
    make_run(tmp_path / "both", steps=3)
    log(tmp_path / "both", kind="evaluation", step=1, many=90.0, head=80.0)
    assert evaluated_names([Run(tmp_path / "both")]) == ["many"]
    empty = figures.evaluations([make_run(tmp_path / "never", steps=3)])
    assert "None of these runs was evaluated." in [a.text for a in empty.layout.annotations]
