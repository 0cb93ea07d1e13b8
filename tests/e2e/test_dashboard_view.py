"""What a viewer sees of a figure is in the address: zoom and the lines that the legend hides."""

import re
from urllib.parse import parse_qs, urlsplit

from tests.e2e.browser import NEEDS_BROWSER, figures_drawn, ready

pytestmark = NEEDS_BROWSER
PLOT = "document.querySelector('.gl-plot')"


def test_zoom_and_legend_open_again_from_a_copied_link(page, address):
    page.goto(f"{address}/run?run=lt&smooth=1")
    figures_drawn(page)
    ready(page)
    drag(page, 0.25, 0.75)
    page.wait_for_url("**zoom.cosines=x+*")
    page.locator(".gl-plot").first.locator(".legendtoggle").last.click()  # the tail
    page.wait_for_url("**hide.cosines=tail*")
    page.wait_for_function(f"() => Math.max(...{PLOT}._fullData[0].x) < 199")  # the server has sent what is seen
    page.wait_for_function(f"() => {shows('tail')} === 'legendonly'")
    seen = page.evaluate(f"{PLOT}._fullLayout.xaxis.range")
    link = page.url
    page.goto("about:blank")
    page.goto(link)
    figures_drawn(page)
    ready(page)
    assert page.evaluate(f"{PLOT}._fullLayout.xaxis.range") == seen
    assert page.evaluate(shows("tail")) == "legendonly"
    assert page.evaluate(shows("head")) is True
    assert page.evaluate(f"Math.max(...{PLOT}._fullData[0].x)") < 199
    assert choices(page.url) == choices(link)
    page.get_by_text("Time", exact=True).click()  # another axis: the old zoom means nothing on it
    page.wait_for_url(re.compile("^((?!zoom).)*x=time((?!zoom).)*$"))
    page.wait_for_function(f"() => {PLOT}._fullData[0].x.length === 200")


def test_a_double_click_takes_the_zoom_out_of_the_address(page, address):
    page.goto(f"{address}/run?run=lt&smooth=1&zoom.cosines=x+50+100")
    figures_drawn(page)
    ready(page)
    assert page.evaluate(f"{PLOT}._fullLayout.xaxis.range") == [50, 100]
    page.locator(".gl-plot .nsewdrag").first.dblclick(position={"x": 20, "y": 20})
    page.wait_for_url(re.compile("^((?!zoom).)*$"))
    page.wait_for_function(f"() => {PLOT}._fullData[0].x.length === 200 && {PLOT}._fullLayout.xaxis.range[1] > 190")


def choices(link):
    return parse_qs(urlsplit(link).query)


def shows(name):
    return f"{PLOT}._fullData.find(trace => trace.name === '{name}' && trace.showlegend).visible"


def drag(page, start, stop):
    area = page.locator(".gl-plot .nsewdrag").first.bounding_box()
    y = area["y"] + area["height"] / 2
    page.mouse.move(area["x"] + start * area["width"], y)
    page.mouse.down()
    page.mouse.move(area["x"] + stop * area["width"], y + 3, steps=8)
    page.mouse.up()
