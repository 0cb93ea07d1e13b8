"""The dashboard with several viewers, and for those who do not use a mouse."""

import pytest

from tests.e2e.browser import NEEDS_BROWSER, PAGES, PATIENCE, figures_drawn, ready, titled

pytestmark = NEEDS_BROWSER


def test_two_viewers_do_not_disturb_each_other(page, context, address):
    other = context.new_page()
    other.set_default_timeout(PATIENCE)
    try:
        page.goto(f"{address}/classes?run=classes")
        other.goto(f"{address}/run?run=dual")
        figures_drawn(page)
        figures_drawn(other)
        ready(page)
        page.locator(".stSlider [role=slider], .stSlider input").first.focus()
        page.keyboard.press("ArrowLeft")  # the slider of the measurements takes the keyboard
        page.wait_for_url("**at=191*")
        page.locator("p:has-text('training batches of steps 176 to 191')").first.wait_for()
        other.get_by_text("Epoch", exact=True).click()
        other.wait_for_url("**/run?run=dual&x=epoch")
        ready(other)
        assert set(page.url.partition("/classes?")[2].split("&")) == {"run=classes", "at=191"}
        assert "dual" in other.locator(".gl-figure p").first.inner_text()
        assert other.locator(".gl-plot .xtitle").first.inner_html() == "epoch"
    finally:
        other.close()


NAMELESS = """() => {
  const label = e => e.getAttribute("aria-label") || e.getAttribute("aria-labelledby") || e.labels?.length;
  const named = e => label(e) || e.textContent.trim();
  const controls = [...document.querySelectorAll("button, input, textarea, a, [role=slider], [role=combobox]")];
  return controls.filter(e => e.offsetParent && !named(e) && !e.dataset.title).map(e => e.outerHTML);
}"""


@pytest.mark.slow
def test_every_control_has_a_name(page, address):
    for path, title in PAGES.items():
        page.goto(f"{address}/{path}")
        titled(page, title)
        ready(page)
        assert page.evaluate(NAMELESS) == [], path
