"""The data of a figure as a table: one row for each point, read back by Python's own reader."""

import csv
import io

import numpy as np

from gradlens.figures import figure_csv
from gradlens.figures._color_scale import LOGARITHMS
from gradlens.figures._sheet import Sheet, heatmap, scatter


def rows(sheet):
    found = csv.reader(io.StringIO(figure_csv(sheet.figure())))
    assert next(found) == ["panel", "series", "x", "y", "value"]
    return list(found)


def test_points_with_the_single_step_behind_a_mean():
    sheet = Sheet(1, 2)
    sheet.add_trace(scatter(x=[0, 1], y=[0.5, np.nan], customdata=[0.25, 1 / 3], name='a &lt;b&gt;, "c"'), row=1, col=1)
    sheet.add_trace(scatter(x=[0.5], y=[2.0], name="tail"), row=1, col=2)
    sheet.add_trace(scatter(x=[0, 1], y=[7.0, 8.0], name="faint", hoverinfo="skip"), row=1, col=1)
    assert rows(sheet) == [
        ["1", 'a <b>, "c"', "0", "0.5", "0.25"],
        ["1", 'a <b>, "c"', "1", "", "0.3333333"],
        ["2", "tail", "0.5", "2", ""],
    ]


def test_each_point_may_have_a_name_of_its_own():
    sheet = Sheet()
    sheet.add_trace(scatter(x=[10, 20], y=[0.1, 0.2], text=["cat", ""], hovertext=["cat", "dog"], name="classes"))
    assert [row[1:4] for row in rows(sheet)] == [["cat", "10", "0.1"], ["dog", "20", "0.2"]]


def test_cells_begin_at_their_left_border():
    sheet = Sheet()
    sheet.add_trace(heatmap(z=np.array([[1.0, np.nan], [3, 4]]), x=np.array([0, 10, 20]), y=np.array(["a", "b"])))
    assert rows(sheet) == [
        ["1", "a", "0", "a", "1"],
        ["1", "a", "10", "a", ""],
        ["1", "b", "0", "b", "3"],
        ["1", "b", "10", "b", "4"],
    ]


def test_logarithmic_colours_are_written_as_the_numbers_themselves():
    sheet = Sheet()
    told = [[["tail", 100.0], ["tail", 0.0]]]
    sheet.add_trace(
        heatmap(z=np.array([[2.0, -1.0]]), x=np.array([0, 1]), y=np.array([0]), customdata=told, meta=LOGARITHMS)
    )
    assert [row[1:] for row in rows(sheet)] == [["tail", "0", "0", "100"], ["tail", "1", "0", "0"]]
