"""Where measured steps, phases and marks lie on the axes, by hand."""

import re

import numpy as np
import pytest

from gradlens import figures
from gradlens.figures import FigureError, cosines, units
from gradlens.figures._axis import axis_of
from gradlens.reports.html import render
from gradlens.runlog import Run, RunWriter
from tests.made_runs import START, make_run


def test_epochs_are_fractional(tmp_path):
    run = make_run(tmp_path / "run", steps=12, epochs=3)  # epochs 0, 1, 2 of 4 steps each
    np.testing.assert_allclose(axis_of(run, "epoch").positions, np.arange(12) / 4)
    assert axis_of(run, "epoch").title == "epoch"


def test_epochs_with_irregular_steps(tmp_path):
    run = make_run(tmp_path / "run", steps=6, epochs=2, every=10)  # steps 0 10 20 | 30 40 50
    np.testing.assert_allclose(axis_of(run, "epoch").positions, [0, 1 / 3, 2 / 3, 1, 4 / 3, 5 / 3])


def test_time_counts_from_the_start_in_minutes_or_hours(tmp_path):
    run = make_run(tmp_path / "run", steps=5)  # half a second a step
    np.testing.assert_allclose(axis_of(run, "time").positions, np.arange(5) / 120)
    assert axis_of(run, "time").title.startswith("minutes")
    early = make_run(tmp_path / "early", steps=3, started=START - 4 * 3600)
    np.testing.assert_allclose(axis_of(early, "time").positions, 4 + np.arange(3) / 7200)
    assert axis_of(early, "time").title.startswith("hours")


def test_steps_and_fractions(tmp_path):
    run = make_run(tmp_path / "run", steps=5, every=10)
    np.testing.assert_array_equal(axis_of(run, "step").positions, [0, 10, 20, 30, 40])
    np.testing.assert_allclose(axis_of(run, "fraction").positions, [0, 0.25, 0.5, 0.75, 1])


def test_steps_between_and_beyond_the_measured_ones(tmp_path):
    run = make_run(tmp_path / "run", steps=12, epochs=3, every=2)
    np.testing.assert_allclose(axis_of(run, "epoch").of_steps(run, [3, 22, 26]), [3 / 8, 22 / 8, 26 / 8])


def test_a_run_without_epochs_says_so(tmp_path):
    run = make_run(tmp_path / "run", steps=5, epochs=None)
    assert units(run) == ["step", "time", "fraction"]
    with pytest.raises(FigureError, match=r"'run' has no epochs.*'step'"):
        cosines(run, x="epoch")
    with pytest.raises(FigureError, match=r"x='hour'.*epoch"):
        cosines(run, x="hour")


def test_the_name_of_a_late_phase_ends_with_it_so_that_the_axis_ends_with_the_data(tmp_path):
    writer = RunWriter(tmp_path / "run", make_run(tmp_path / "run", steps=5).meta, resume=True)
    writer.event("phase", step=0, name="I")
    writer.event("phase", step=3, name="II")
    writer.close()
    found = figures.distortion_curves([Run(tmp_path / "run")]).layout.annotations
    assert {(each.text.strip(), each.x, each.xanchor) for each in found} == {
        ("phase I", 0, "left"),
        ("phase II", 4, "right"),
    }


@pytest.fixture
def live(tmp_path):
    done = make_run(tmp_path / "live", steps=30)
    writer = RunWriter(tmp_path / "live", done.meta, resume=True)
    run = Run(tmp_path / "live")
    assert run.status.live
    yield run
    writer.close()


def test_a_live_run_is_not_drawn_as_complete(tmp_path, live):
    done = make_run(tmp_path / "done", steps=30)
    assert "fraction" not in figures.units(live)
    assert "fraction" in figures.units(done)
    for draw in (figures.cosines, lambda run, **o: figures.distortion_curves([done, run], **o)):
        with pytest.raises(FigureError, match="run 'live' still trains, so which part"):
            draw(live, x="fraction")
    assert not re.search(r'"text":\s*"part of training"', render([done, live]))
    assert re.search(r'"text":\s*"part of training"', render([done, Run(done.path)]))


def test_phases_and_marks(runs):
    figure = figures.cosines(runs[0], x="epoch")
    bands = [s for s in figure.layout.shapes if s.type == "rect"]
    assert [(s.x0, s.x1) for s in bands] == [pytest.approx((0, 5)), pytest.approx((5, 9.95))]
    texts = [a.text for a in figure.layout.annotations]
    assert any("phase I" in t for t in texts)
    assert any("learning rate" in t for t in texts)
    (line,) = [s for s in figure.layout.shapes if s.type == "line" and s.line.dash == "dot"]
    assert line.x0 == pytest.approx(7.5)
