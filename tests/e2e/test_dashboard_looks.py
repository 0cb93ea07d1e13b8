"""What a designer would find fault with: text that cannot be read, tables wider than the page, empty stretches, tabs alike."""

import pytest

from tests.e2e.browser import NEEDS_BROWSER, PAGES, figures_drawn, ready, shown_in, titled

pytestmark = NEEDS_BROWSER
# Contrast of an element's text with its background, as WCAG defines it.
CONTRAST = """element => {
  const light = (text) => {
    const [r, g, b] = text.match(/[\\d.]+/g).slice(0, 3).map(Number).map((c) => c / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const style = getComputedStyle(element);
  const [low, high] = [light(style.color), light(style.backgroundColor)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}"""


def test_every_tab_says_which_page_it_shows(page, address):
    for path, title in PAGES.items():
        page.goto(f"{address}/{path}")
        titled(page, title)
        page.wait_for_function(f"() => document.title.endsWith('{title} · gradlens')")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_on_the_primary_colour_can_be_read(page, address, scheme):
    page.emulate_media(color_scheme=scheme)
    page.goto(address)
    ready(page)
    assert page.get_by_test_id("stBaseButton-primary").first.evaluate(CONTRAST) > 4.5
    page.goto(f"{address}/?columns=seed")
    ready(page)
    page.locator("[data-tag]:visible").first.wait_for()
    assert page.locator("[data-tag]:visible").first.evaluate(CONTRAST) > 4.5


@pytest.mark.slow
def test_figures_follow_the_theme_as_soon_as_it_is_changed(page, address):
    page.emulate_media(color_scheme="light")
    page.goto(f"{address}/run?run=lt&smooth=1&zoom.cosines=x+50+100")
    figures_drawn(page)
    ready(page)
    shown_in(page, "light")
    page.emulate_media(color_scheme="dark")  # the viewer's system
    shown_in(page, "dark")
    for theme in ("Light", "Dark", "Light"):
        page.get_by_test_id("stMainMenuButton").click()
        page.get_by_role("menuitemradio", name=theme).click()
        page.keyboard.press("Escape")
        shown_in(page, theme.lower())
    page.get_by_role("link", name="Paper").click()
    titled(page, "Paper")
    figures_drawn(page)
    shown_in(page, "light")
    verdict = page.locator(".gl-badge").first
    light = verdict.evaluate("e => getComputedStyle(e).color")
    page.get_by_test_id("stMainMenuButton").click()
    page.get_by_role("menuitemradio", name="System").click()
    shown_in(page, "dark")
    assert verdict.evaluate("e => getComputedStyle(e).color") != light
    page.go_back()
    titled(page, "Run")
    figures_drawn(page)
    shown_in(page, "dark")
    assert page.evaluate("document.querySelector('.gl-plot')._fullLayout.xaxis.range") == [50, 100]


def test_the_table_of_runs_needs_no_scrolling_at_1280(page, address):
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto(address)
    ready(page)
    wide = page.wait_for_selector(".dvn-scroller").evaluate("e => [e.scrollWidth, e.clientWidth]")
    assert wide[0] <= wide[1]


def test_a_matrix_fills_a_narrow_screen(page, address):
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{address}/classes?run=classes")
    titled(page, "Classes")
    figures_drawn(page)
    cells = page.locator(".gl-plot .nsewdrag").first.bounding_box()
    assert cells["width"] > 230
    assert cells["width"] == pytest.approx(cells["height"], rel=0.02)
    plot = page.locator(".gl-plot").first.bounding_box()
    scale = page.locator(".gl-plot .cbfills").first.bounding_box()
    assert cells["y"] + cells["height"] < scale["y"]  # the colour scale lies below
    assert plot["y"] + plot["height"] - (scale["y"] + scale["height"]) < 80


def test_tables_have_a_name_where_the_keyboard_stops_at_them(page, address):
    page.goto(f"{address}/paper?lt=lt&balanced=balanced")
    titled(page, "Paper")
    page.get_by_role("region", name="Table of statements with verdicts").wait_for()
