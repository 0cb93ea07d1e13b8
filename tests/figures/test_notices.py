"""What a figure marks, and what a page lists, of the events of a run."""

import numpy as np
import pytest

from gradlens.figures._notices import MOST_MARKS, MOST_OF_A_KIND, moments, notices
from gradlens.runlog import Run
from tests.dashboard_runs import log
from tests.made_runs import make_run


@pytest.fixture
def path(tmp_path):
    make_run(tmp_path / "run", steps=30)
    return tmp_path / "run"


def texts(marks):
    return [(mark.step, mark.text) for mark in marks]


def test_notices_are_in_the_order_of_steps_and_say_their_fields(path):
    log(path, kind="lr-drop", step=20, factor=0.1, parts="all")
    log(path, kind="engine", step=5, engine="masked", reason="two terms")
    log(path, kind="saved", step=7)
    log(path, kind="note", step=8, message="as I say it", more=1)
    log(path, kind="no-step", message="belongs to no moment")
    for kind in ("phase", "mark", "evaluation", "epoch", "result", "combined"):  # drawn in another way
        log(path, kind=kind, step=1, name="x", text="x")
    run = Run(path)
    assert texts(notices(run)) == [
        (5, "engine: masked, reason two terms"), (7, "saved"), (8, "as I say it"), (20, "lr-drop: factor 0.1, parts all"),
    ]  # fmt: skip
    # a figure has less room: one field; and the mark of the script
    assert texts(moments(run)) == [
        (1, "x"), (5, "engine: masked"), (7, "saved"), (8, "as I say it"), (20, "lr-drop: factor 0.1"),
    ]  # fmt: skip


def test_what_comes_often_is_listed_but_not_drawn(path):
    for step in range(MOST_OF_A_KIND):
        log(path, kind="rare", step=step)
    for step in range(MOST_OF_A_KIND + 1):
        log(path, kind="often", step=step)
    run = Run(path)
    assert {text for _, text in texts(moments(run))} == {"rare"}
    assert len(notices(run)) == 2 * MOST_OF_A_KIND + 1


def test_of_very_many_marks_the_first_are_drawn(path):
    for step in range(MOST_MARKS + 5):
        log(path, kind="mark", step=step, text=f"{step}")
    assert texts(moments(Run(path))) == [(step, f"{step}") for step in range(MOST_MARKS)]


def test_a_gradient_that_is_not_finite_is_marked_once_a_stretch(path, monkeypatch):
    log(path, kind="nonfinite", step=4, message="the loss is nan")
    log(path, kind="nonfinite", step=9, message="only the loss is nan")
    broken = np.isin(np.arange(30), [3, 4, 5, 20])
    monkeypatch.setattr(Run, "nonfinite", lambda run: broken)
    assert texts(moments(Run(path))) == [
        (3, "gradient not finite to step 5"), (9, "only the loss is nan"), (20, "gradient not finite"),
    ]  # fmt: skip
    broken = np.arange(30) % 2 == 1
    assert texts(moments(Run(path)))[0] == (1, "gradient not finite, 15 measured steps from here on")
