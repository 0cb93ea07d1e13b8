"""Curves of quantities that have no figure of their own."""

import numpy as np
import pytest

from gradlens import figures
from gradlens.figures import FigureError
from gradlens.figures._quantities import OWN_FIGURE, other_quantities, quantity_curves, quantity_of_a_group
from gradlens.metrics.catalogue import QUANTITIES
from tests.figures.pair import strong, subtitle


def test_no_quantity_is_drawn_by_two_figures():
    names = {quantity.name for quantity in other_quantities()}
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
