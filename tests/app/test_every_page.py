"""Every page on real runs of every kind, run by Streamlit's own test driver."""

import json

import pytest

pytest.importorskip("streamlit", reason="the dashboard needs: pip install -e '.[app]'")

from tests.app.opened_pages import EVERY, charts, opened
from tests.dashboard_runs import NASTY


@pytest.mark.parametrize("page", EVERY)
def test_every_page_explains_itself_and_names_its_controls(monkeypatch, folder, page):
    at = opened(monkeypatch, folder, page)
    assert len(at.title) == 1
    assert 100 < len(at.markdown[0].value) < 330
    for kind in ("selectbox", "multiselect", "text_input", "select_slider", "toggle"):
        assert all(widget.label for widget in at.get(kind))
    assert charts(at) or page == "runs"


@pytest.mark.parametrize("page", EVERY)
def test_names_cannot_be_markup(monkeypatch, folder, page):
    name = f"deep/{NASTY}"
    key = {"compare": "runs", "paper": "lt"}.get(page, "run")
    at = opened(monkeypatch, folder, page, **{key: name})
    for element in at.get("html"):
        assert "<img" not in element.proto.body
    for element in (*at.markdown, *at.warning, *at.info):
        assert "<img" not in element.value.replace("\\<img", "")
        assert "$x$" not in element.value
    assert "<img" not in json.dumps([figure["layout"].get("title") for figure in charts(at).values()])
