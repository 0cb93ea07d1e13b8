"""A figure on a page: what the browser is given to draw, and what it can download."""

import csv
import io
import json

import pytest

pytest.importorskip("streamlit", reason="the dashboard needs: pip install -e '.[app]'")

from streamlit.testing.v1 import AppTest

from tests.app.opened_pages import charts


def page():
    import streamlit as st

    from gradlens.figures import FigureError, Sheet
    from gradlens.figures._sheet import scatter
    from gradlens_dashboard.components.chart import chart

    def draw(**options):
        if st.session_state.get("broken"):
            raise FigureError("no such layer")
        st.session_state.setdefault("calls", []).append(options)
        sheet = Sheet()
        sheet.add_trace(scatter(x=[0, 1], y=[0.5, 0.25], name="tail"))
        return sheet

    chart("k", draw, name="run <1>/a", revision="r", rows=st.session_state.get("rows", 10))


def data(at):
    (element,) = (e for e in at.get("bidi_component") if e.proto.id.endswith("-k"))
    return json.loads(element.proto.json)


def test_the_browser_gets_the_figure_and_a_name_for_files():
    at = AppTest.from_function(page).run()
    assert not at.exception
    assert charts(at)["k"]["data"][0]["name"] == "tail"
    assert (data(at)["name"], data(at)["revision"], data(at)["window"]) == ("run-1-a", "r", None)
    assert "csv" not in data(at)
    assert at.session_state["calls"] == [{"theme": "light"}]


@pytest.mark.parametrize(("rows", "points"), [(10, 28), (0, 8), (10**7, 300_000)])
def test_a_table_is_made_only_where_asked_for_and_has_all_points(rows, points):
    at = AppTest.from_function(page)
    at.session_state["k:csv"], at.session_state["rows"] = True, rows
    at.run()
    table = list(csv.DictReader(io.StringIO(data(at)["csv"]["text"])))
    assert [(row["series"], row["y"]) for row in table] == [("tail", "0.5"), ("tail", "0.25")]
    assert at.session_state["calls"][-1] == {"theme": "light", "points": points}
    at.run()
    assert "csv" not in data(at)  # once


def test_the_zoom_in_the_address_is_the_window_that_is_drawn():
    at = AppTest.from_function(page)
    at.query_params["zoom.k"] = "x 100 500"
    at.run()
    assert at.session_state["calls"] == [{"theme": "light", "window": (100, 500)}]
    assert data(at)["window"] == [100, 500]


def test_what_cannot_be_drawn_is_said_in_its_place():
    at = AppTest.from_function(page)
    at.session_state["broken"] = True
    at.run()
    assert not at.exception
    assert [info.value for info in at.info] == ["no such layer"]
    assert not charts(at)
