"""Curves of quantities that have no figure of their own."""

import numpy as np
import pytest

from gradlens import figures
from gradlens.figures import FigureError
from gradlens.figures._quantities import OWN_FIGURE, other_quantities, quantity_curves, quantity_of_a_group
from gradlens.metrics.catalogue import QUANTITIES
from gradlens.runlog import Run, RunWriter
from tests.figures.pair import strong, subtitle
from tests.made_runs import make_run
from tests.runlog.made import measurement, meta


def test_no_quantity_is_drawn_by_two_figures(runs):
    assert runs[0].has_update
    names = {quantity.name for quantity in other_quantities(runs[0])}
    assert not names & set(OWN_FIGURE)
    gradients = {q.name for q in QUANTITIES.values() if q.about == "gradient" and q.of in ("vector", "group")}
    assert names | set(OWN_FIGURE) == gradients


def test_a_quantity_of_each_group_is_drawn_with_its_definition(runs):
    figure = quantity_curves(runs[0], "mean_norm", smooth=1)
    A, n = runs[0].gram(), runs[0].counts
    with np.errstate(divide="ignore", invalid="ignore"):
        wanted = np.sqrt(A[:, 0, 0]) * n.sum(1) / n[:, 0]
    np.testing.assert_allclose(strong(figure, "head").y, wanted, rtol=1e-5)
    assert QUANTITIES["mean_norm"].definition in subtitle(figure)
    assert figure.layout.yaxis.type is None
    assert quantity_curves(runs[0], "mean_norm", log=True).layout.yaxis.type == "log"
    assert quantity_curves(runs[0], "cosine", log=True).layout.yaxis.type is None
    assert quantity_curves(runs[0], "share").layout.yaxis.tickformat == ".0%"


def test_only_quantities_of_a_group_can_be_asked_for(runs):
    assert quantity_of_a_group("cosine").title == "cosine with the overall gradient"
    for name in ("distortion", "conflict", "nose"):
        with pytest.raises(FigureError, match=f"quantity='{name}'; choose one of .*cosine"):
            figures.overlay(runs, name, "tail")


def test_each_logged_name_has_a_panel(tmp_path):
    writer = RunWriter(tmp_path / "run", meta())
    for step in range(5):
        writer.append(measurement(step))
        writer.log(step, {"loss": 1 / (step + 1), "val<b>": 2.0 if step % 2 else float("nan")})
    writer.log(9, {f"m{i}": i for i in range(12)})
    writer.close()
    run = Run(tmp_path / "run")
    figure = figures.logged_curves(run)
    assert [trace.name for trace in figure.data][:2] == ["loss", "val&lt;b&gt;"]
    np.testing.assert_allclose(figure.data[0].y, [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5], rtol=1e-6)
    assert figure.data[0].x.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(figure.data[1].y, [np.nan, 2, np.nan, 2, np.nan])
    assert figure.data[2].x.tolist() == [9]
    assert len(figure.data) == 12
    assert "the first 12 of 14 names" in subtitle(figure)


def test_a_run_without_logged_values_says_so(tmp_path):
    run = make_run(tmp_path / "run", steps=3)
    (text,) = (note.text for note in figures.logged_curves(run).layout.annotations)
    assert text.startswith("Nothing: gradlens.log(name=value)")
