"""The colours of heat maps: where they end, and the grey of cells without a value."""

import numpy as np
import pytest

from gradlens.figures import LIGHT
from gradlens.figures._color_scale import LOGARITHMS, add_missing, color_scale, round_up
from gradlens.figures._sheet import Sheet
from gradlens.metrics.catalogue import QUANTITIES


def ends(cells, name, **more):
    settings = color_scale(np.array(cells), QUANTITIES[name], LIGHT, **more).settings
    return settings["zmin"], settings["zmax"]


def test_cosines_end_at_one_of_few_numbers_on_both_sides():
    assert ends([[0.03, -0.04, np.nan]], "cosine") == (-0.05, 0.05)
    assert ends([[0.03, -0.12]], "cosine") == (-0.2, 0.2)
    assert ends([[np.nan]], "cosine") == (-1, 1)
    assert [round_up(end) for end in (0, 0.05, 0.051, 0.6, 3)] == [0.05, 0.05, 0.1, 1, 1]


def test_norms_begin_at_zero():
    assert ends([[2.0, 2.0, np.nan]], "norm") == (0, 2)
    assert ends([[0.0]], "norm") == (0, 1)  # a scale needs two ends
    many = np.append(np.ones(999), 1000.0)
    assert ends([many], "norm")[1] == pytest.approx(1)  # one outlier does not set it


def test_logarithms_of_norms_with_zero_at_the_lowest_colour():
    scale = color_scale(np.array([[1.0, 10, 1000, 0, np.nan]]), QUANTITIES["norm"], LIGHT, log=True)
    np.testing.assert_allclose(scale.z[0, :3], [0, 1, 3])
    assert scale.z[0, 3] == pytest.approx(scale.settings["zmin"])
    assert np.isnan(scale.z[0, 4])
    assert scale.settings["meta"] == LOGARITHMS
    assert dict(zip(scale.bar["ticktext"], scale.bar["tickvals"], strict=True))["100"] == pytest.approx(2)
    assert not color_scale(np.array([[0.5]]), QUANTITIES["cosine"], LIGHT, log=True).log  # cosines may be negative


def test_cells_without_a_value_are_grey_and_explained():
    sheet, x = Sheet(), np.arange(2)
    cells = np.array([[1.0, np.nan], [0.0, 2.0]])
    assert add_missing(sheet, cells, x, x, LIGHT, "no sample") == "grey: no sample"
    heat, entry = sheet.figure().data
    np.testing.assert_array_equal(np.isfinite(heat.z), [[False, True], [False, False]])
    assert {color for _, color in heat.colorscale} == {entry.marker.color} == {LIGHT.missing}
    assert (entry.name, entry.showlegend) == ("no sample", True)
    whole = Sheet()
    assert add_missing(whole, np.zeros((2, 2)), x, x, LIGHT, "no sample") == ""
    assert not whole.figure().data
