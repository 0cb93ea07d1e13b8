"""Curves of one layer: its own cosines and norms."""

import numpy as np
import pytest

from gradlens import figures
from gradlens.figures import FigureError
from tests.figures.pair import traces


def test_cosines_and_norms_are_those_of_the_layer(runs):
    run, layer = runs[0], "block.2.conv"
    figure = figures.layer_curves(run, layer, smooth=1)
    A = run.gram(layer=layer)[:, :3, :3]  # head, tail, rest
    B = np.nan_to_num(A)
    norms = {"head": np.sqrt(A[:, 0, 0]), "tail": np.sqrt(A[:, 1, 1]), "overall": np.sqrt(B.sum((1, 2)))}
    for name, norm in norms.items():
        (line,) = traces(figure, name=name, xaxis="x2", mode="lines")
        np.testing.assert_allclose(line.y, norm, rtol=1e-5)
    for k, name in enumerate(("head", "tail")):
        (line,) = traces(figure, name=name, xaxis="x", mode="lines")
        wanted = np.where(np.isnan(A[:, k, k]), np.nan, B[:, k].sum(1)) / (norms[name] * norms["overall"])
        np.testing.assert_allclose(line.y, wanted, rtol=1e-4, atol=1e-6)
    assert [t.name for t in figure.data if t.showlegend] == ["head", "tail", "overall"]


def test_a_layer_that_is_not_there_is_named_with_those_that_are(runs):
    with pytest.raises(FigureError, match=r"'lt' has no layer 'fc'; it has block\.0\.conv, block\.1\.conv"):
        figures.layer_curves(runs[0], "fc")
    with pytest.raises(FigureError, match="'balanced' has no layer 'fc'; it has none"):
        figures.layer_curves(runs[1], "fc")
