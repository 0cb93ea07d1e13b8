"""What tests in a real browser need to know: where it is, the pages, and when a page is there."""

import shutil

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# Milliseconds: on a machine that has much else to do, a page may take a while.
PATIENCE = 120_000
NEEDS_BROWSER = [
    pytest.mark.skipif(CHROMIUM is None, reason="no browser: apt-get install chromium (Debian), or install Chrome"),
    pytest.mark.timeout(600),
]

PAGES = {
    "": "Runs",
    "run": "Run",
    "compare": "Compare",
    "classes": "Classes",
    "methods": "Methods",
    "glossary": "Glossary",
    "paper": "Paper",
}
WITHOUT_FIGURES = ("", "methods", "glossary")


def ready(page):
    page.wait_for_selector("[data-testid='stApp'][data-test-script-state='notRunning']")
    assert not page.locator("[data-testid='stException']").all_inner_texts()


def titled(page, title):
    page.get_by_role("heading", level=1, name=title, exact=True).wait_for()


def figures_drawn(page):
    page.wait_for_function(
        "() => { const f = [...document.querySelectorAll('.gl-figure')]; return f.length && f.every(x => x.dataset.drawn) }"
    )
    assert not page.locator(".gl-figure[data-drawn='failed']").all_inner_texts()


def shown_in(page, scheme):
    """Waits until the page and all figures on it are in this theme."""
    colour = {"light": "rgb(255, 255, 255)", "dark": "rgb(14, 17, 23)"}[scheme]
    page.wait_for_function(
        """(colour) => {
          const drawn = [...document.querySelectorAll(".gl-plot .main-svg:first-child")].map((svg) => svg.style.background);
          const app = getComputedStyle(document.querySelector("[data-testid='stApp']")).backgroundColor;
          return [app, ...drawn].every((found) => found === colour);
        }""",
        arg=colour,
    )
