"""The dashboard for those who do not see it, or see it badly: axe-core finds nothing on any page, in either theme."""

from importlib.resources import files

import pytest

from gradlens.reports.html import write_report
from gradlens.runlog import Run
from tests.e2e.browser import NEEDS_BROWSER, figures_drawn, ready, shown_in

pytestmark = NEEDS_BROWSER
# Every page and what is last to come there; "torn" is damaged and "failed" ended early, which is said above their figures.
FIGURE = ".gl-figure[data-drawn]"
VIEWS = {
    "": ".gl-table",
    "paper?lt=lt&balanced=balanced": FIGURE,
    "run?run=torn": FIGURE,
    "run?run=failed&show=facts": ".gl-table",
    "run?run=lt&show=layers": FIGURE,
    "run?run=dual&show=fit": FIGURE,
    "paper?part=dual-phase": FIGURE,
    "compare?runs=lt&runs=balanced&runs=torn": FIGURE,
    "compare?runs=lt&runs=classes": FIGURE,
    "classes?run=classes": FIGURE,
    "methods": "table",
    "glossary": ".gl-entry",
}
# Contrast of all text in figures with their background: axe-core does not judge text that is drawn.
FAINT = """() => {
  const light = (color) => {
    const [r, g, b] = color.match(/[\\d.]+/g).slice(0, 3).map(Number).map((c) => c / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  return [...document.querySelectorAll(".gl-plot text")].filter((text) => {
    const style = getComputedStyle(text);
    const paper = getComputedStyle(text.closest(".gl-plot").querySelector(".main-svg")).backgroundColor;
    const [low, high] = [light(style.fill), light(paper)].sort((a, b) => a - b);
    return text.textContent && style.opacity > 0 && (high + 0.05) / (low + 0.05) < 4.5;
  }).map((text) => `${text.textContent} ${getComputedStyle(text).fill}`);
}"""


@pytest.fixture(scope="module")
def axe():
    pytest.importorskip("axe_playwright_python", reason="this test needs axe-core: pip install -e '.[dev]'")
    return (files("axe_playwright_python") / "axe.min.js").read_text("utf-8")


# Others of their page stand for these in a quick run.
MORE = ("run?run=torn", "run?run=failed&show=facts", "compare?runs=lt&runs=classes")


@pytest.mark.parametrize("view", [pytest.param(v, marks=pytest.mark.slow) if v in MORE else v for v in VIEWS])
def test_axe_finds_nothing(page, address, axe, view):
    page.emulate_media(color_scheme="light")
    page.goto(f"{address}/{view}")
    page.wait_for_selector(VIEWS[view])
    if VIEWS[view] == FIGURE:
        figures_drawn(page)
    ready(page)
    page.evaluate(axe)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        shown_in(page, scheme)
        ready(page)
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        assert len(found["passes"]) > 15  # it has looked
        assert [seen(violation) for violation in found["violations"]] == [], scheme
        assert page.evaluate(FAINT) == [], scheme


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_a_report(page, axe, folder, tmp_path, theme):
    runs = [Run(folder / name) for name in ("lt", "balanced")]
    page.goto(write_report(runs, tmp_path / "report.html", theme=theme).as_uri())
    page.wait_for_selector(".figure [role=img]")
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert len(found["passes"]) > 10
    assert [seen(violation) for violation in found["violations"]] == []
    image = page.locator(".figure [role=img]").first
    assert image.get_attribute("aria-label") == "Whose gradient does the model follow?"


def test_axe_finds_what_is_wrong(page, address, axe):
    page.goto(address)
    table = page.locator(".gl-table").first
    table.wait_for()
    ready(page)
    page.evaluate(axe)
    table.evaluate("e => e.insertAdjacentHTML('afterend', '<h6>deep</h6><img src=\"data:,\">')")
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert {violation["id"] for violation in found["violations"]} == {"heading-order", "image-alt"}


def seen(violation):
    """Returns what is wrong and where."""
    places = [" ".join(map(str, node["target"])) for node in violation["nodes"]]
    return f"{violation['impact']} {violation['id']}: {', '.join(places)}"
