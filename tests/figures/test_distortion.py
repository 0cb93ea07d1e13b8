"""The curve of the distortion of one or more runs."""

import numpy as np
import pytest

from gradlens import figures
from gradlens.figures import FigureError
from gradlens.groups import ClassGroups
from gradlens.metrics.measurement import Measurement
from gradlens.runlog import Run, RunMeta, RunWriter
from tests.figures.pair import strong
from tests.made_runs import make_run


def test_beside_a_noisy_phase_one_without_noise_has_no_gaps(tmp_path):
    """In phase I the head alone has all of every update; the distance to its half of the classes is 0.5."""
    groups = ClassGroups({"head": [0], "tail": [1]}, 2)
    path = tmp_path / "dual"
    writer = RunWriter(path, RunMeta.here(groups.to_json()))
    rng = np.random.default_rng(0)
    for t in range(240):
        if t in (0, 120):
            writer.event("phase", step=t, name="I" if t == 0 else "II")
        share = 1.0 if t < 120 else float(rng.uniform(0.05, 0.95))
        n = np.ones(2)
        gram = np.diag([share, 1 - share, 0.0])
        writer.append(Measurement(t, 0.0, None, ("head", "tail", "rest"), gram, None, n, n, n, 0, 1, 0))
    writer.close()
    figure = figures.distortion_curves([Run(path)])  # warnings are errors
    line = strong(figure, "dual")
    np.testing.assert_allclose(line.y[:115], 0.5, atol=1e-6)
    level = next(t for t in figure.data if t.line.width == 1 and t.hoverinfo != "skip")
    assert np.isfinite(level.y).all()


def test_figures_say_where_the_groups_of_runs_differ(tmp_path):
    one = make_run(tmp_path / "one", steps=60)
    more = make_run(tmp_path / "more", steps=60, groups=ClassGroups({"head": range(50), "tail": range(50, 100)}, 100))
    said = {
        "the groups of the runs differ": figures.distortion_curves,
        "tail has other classes in some of the runs": lambda runs: figures.overlay(runs, "share", "tail"),
    }
    for text, draw in said.items():
        assert text in draw([one, more]).layout.title.subtitle.text
        assert text not in draw([one, one]).layout.title.subtitle.text


def test_distortion_of_several_runs(runs):
    figure = figures.distortion_curves(runs, smooth=1, x="fraction")
    for line, run in zip(figure.data, runs, strict=True):
        np.testing.assert_allclose(line.y, run.share_distance(), rtol=1e-6)
        assert line.name == run.name
        assert (line.x[0], line.x[-1]) == (0, 1)
    with pytest.raises(FigureError, match="no run"):
        figures.distortion_curves([])


def test_one_training_at_two_cadences_is_drawn_alike(tmp_path):
    """Shares 0.8 and 0.2 with noise, against fractions 0.5: distortion 0.3, measured at every step and at every 10th."""
    rng = np.random.default_rng(0)
    lines = []
    runs = []
    for every in (1, 10):
        head = np.clip(0.8 + 0.1 * rng.standard_normal(3000 // every), 0.05, 0.95)
        path = tmp_path / str(every)
        writer = RunWriter(path, RunMeta.here(ClassGroups({"head": [0], "tail": [1]}, 2).to_json()))
        for t, share in enumerate(head):
            # orthogonal contributions with these squared norms have these shares
            n = np.ones(2)
            writer.append(
                Measurement(
                    t * every, 0.0, None, ("head", "tail", "rest"), np.diag([share, 1 - share, 0]), None, n, n, n, 0, 1, 0
                )
            )  # fmt: skip
        writer.close()
        runs.append(Run(path))
    figure = figures.distortion_curves(runs)
    for run in runs:
        lines.append(next(t for t in figure.data if t.name == run.name and t.showlegend))
        level = next(t for t in figure.data if t.name == run.name and t.line.width == 1 and t.hoverinfo != "skip")
        # the noise of a share over the rows of a window: 0.1 sqrt(2 / pi) / sqrt(rows)
        rows = {"1": 90, "10": 9}[run.name]
        assert np.min(level.y) == pytest.approx(0.1 * np.sqrt(2 / np.pi) / np.sqrt(rows), rel=0.3)
    assert "mean over 90 steps of training, 9 to 90 of them measured" in figure.layout.title.subtitle.text
    for line in lines:
        assert np.mean(line.y) == pytest.approx(0.3, abs=0.02)
