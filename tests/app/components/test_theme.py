"""The theme that figures are drawn in follows what the browser reports."""

import pytest

pytest.importorskip("streamlit", reason="the dashboard needs: pip install -e '.[app]'")

from streamlit.testing.v1 import AppTest


def page():
    import streamlit as st

    from gradlens_dashboard.components.theme import theme

    st.session_state["drawn"] = theme()


@pytest.mark.parametrize(("seen", "drawn"), [("dark", "dark"), ("light", "light"), (None, "light"), ("pink", "light")])
def test_the_report_of_the_browser_decides(seen, drawn):
    at = AppTest.from_function(page)
    if seen is not None:
        at.session_state["theme"] = {"seen": seen}
    at.run()
    assert not at.exception
    assert at.session_state["drawn"] == drawn
