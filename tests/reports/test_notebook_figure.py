"""Figures in notebooks are drawn without a network, and plotly.js comes once."""

from __future__ import annotations

import shutil

import pytest

from gradlens.groups import ClassGroups
from gradlens.reports import notebook_figure

CHROMIUM = shutil.which("chromium")
GROUPS = ClassGroups({"head": [0, 1, 2, 5], "tail": [4]}, 7, rule="</script><b>mine")


@pytest.fixture
def shown(monkeypatch):
    """What a notebook shows in its first two cells."""
    monkeypatch.setattr(notebook_figure, "_brought", False)
    return [GROUPS._repr_html_() for _ in range(2)]


def test_only_the_first_figure_brings_plotly(shown):
    first, second = map(len, shown)
    assert first > 4_000_000
    assert second < 20_000
    assert all(text.lower().count("</script><b>") == 0 for text in shown)


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
def test_both_are_drawn_without_a_network(shown):
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install -e '.[dev]'")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(offline=True)
        page = context.new_page()
        wrong = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.set_content("".join(shown))
        assert page.locator(".plotly-graph-div .main-svg").count() >= 2
        drawn = page.locator(".plotly-graph-div").evaluate_all("all => all.map(each => each.data.length)")
        browser.close()
    assert drawn == [2, 2]
    assert wrong == []
