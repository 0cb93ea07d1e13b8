"""Figures on one page in a real browser: one zoom, one line under the pointer, and one run that stands out among many."""

import pytest

from tests.e2e.browser import NEEDS_BROWSER, figures_drawn, ready, titled
from tests.made_runs import make_run

pytestmark = NEEDS_BROWSER
PLOTS = "[...document.querySelectorAll('.gl-plot')]"


def point(page, part):
    area = page.locator(".gl-plot .nsewdrag").first.bounding_box()
    for shift in (0, 2, 4):  # plotly looks where the pointer is when it moves
        page.mouse.move(area["x"] + part * area["width"] + shift, area["y"] + 0.5 * area["height"])
        page.wait_for_timeout(200)


def test_a_zoom_and_the_pointer_move_all_figures_of_the_page(page, address):
    page.goto(f"{address}/run?run=lt&smooth=1")
    figures_drawn(page)
    ready(page)
    page.evaluate("() => window.Plotly.relayout(document.querySelector('.gl-plot'), {'xaxis.range': [50, 100]})")
    page.wait_for_function(
        f"() => {PLOTS}.every((plot) => plot._fullLayout.xaxis.range.map(Math.round).join() === '50,100')"
    )
    page.wait_for_url("**zoom.shares=x+50+100*")
    page.wait_for_function(f"() => Math.max(...{PLOTS}[2]._fullData[0].x) < 110")  # the server has sent what is seen
    point(page, 0.5)
    page.wait_for_function(f"() => {PLOTS}.slice(1).every((plot) => plot.querySelector('.gl-cross'))")
    assert page.evaluate(f"{PLOTS}[0].querySelectorAll('.gl-cross').length") == 0, "it has its own"
    page.locator(".gl-plot .nsewdrag").first.dblclick(position={"x": 20, "y": 20})
    page.wait_for_function(f"() => {PLOTS}.every((plot) => plot._fullLayout.xaxis.range[1] > 190)")


@pytest.mark.slow
def test_one_of_many_runs_stands_out(page, address, folder):
    names = [f"many-{place}" for place in range(14)]
    for seed, name in enumerate(names):
        make_run(folder / name, steps=60, seed=seed)
    page.goto(f"{address}/compare?" + "&".join(f"runs={name}" for name in names))
    figures_drawn(page)
    ready(page)
    strong = "[...document.querySelectorAll('.gl-plot')[0].querySelectorAll('.scatterlayer .trace')]"
    point(page, 0.5)
    page.wait_for_function(f"() => {strong}.some((trace) => trace.style.opacity === '0.1')")
    bright = page.evaluate(
        f"[...new Set({strong}.filter((t) => t.style.opacity !== '0.1').map((t) => t.__data__[0].trace.name))]"
    )
    assert len(bright) == 1
    assert bright[0] in names
    assert page.evaluate("document.querySelector('.gl-plot')._fullLayout.showlegend") is False


def test_a_click_on_a_name_opens_the_run(page, address):
    page.goto(f"{address}/?search=dual")
    ready(page)
    page.wait_for_function("() => document.querySelector('.stDataFrame canvas')?.textContent.includes('dual')")
    table = page.locator("[data-testid='stDataFrame']").first.bounding_box()
    page.mouse.click(table["x"] + 62, table["y"] + 52)  # the first name, below the head and beside the box
    titled(page, "Run")
    page.wait_for_url("**/run?run=dual*")
    page.wait_for_function("() => document.title === 'dual · Run · gradlens'")
