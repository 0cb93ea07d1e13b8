"""What a viewer sees of a figure is in the address: zoom and the lines that the legend hides."""

import re
import subprocess
import sys
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.e2e.browser import NEEDS_BROWSER, figures_drawn, ready

pytestmark = NEEDS_BROWSER
PLOT = "document.querySelector('.gl-plot')"
# Probes its data class by class every second.
PROBING = """
import sys, time, torch
from gradlens import ClassGroups, Lens
torch.manual_seed(0)
x, y = torch.randn(60, 8), torch.arange(60) % 4
model = torch.nn.Linear(8, 4)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
groups = ClassGroups({"head": range(2), "tail": range(2, 4)}, 4)
with Lens(model, groups, out=sys.argv[1], optimizer=optimizer) as lens:
    while True:
        for _ in range(10):
            loss = torch.nn.functional.cross_entropy(model(x), y)
            lens.backward(loss, y)
            optimizer.step()
            optimizer.zero_grad()
        lens.probe([(x, y)], groups=ClassGroups.per_class(4))
        time.sleep(1)
"""


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


@pytest.mark.slow
def test_the_classes_of_a_live_run_are_the_latest_until_one_is_picked(page, address, folder):
    run = folder / "probed"
    training = subprocess.Popen([sys.executable, "-c", PROBING, str(run)])
    try:
        while len(list(run.glob("probes-*.arrow"))) < 3:
            assert training.poll() is None
            page.wait_for_timeout(100)
        page.goto(f"{address}/classes?run=probed")
        page.wait_for_url("**at=latest*")
        first = probed(page)
        later = probed(page, f"step > {first} + 20")  # two more at the least
        assert later % 10 == first % 10 == 0
        assert choices(page.url) == {"run": ["probed"], "at": ["latest"]}
        assert place(page) == ("latest", "step 10")
        slider = page.locator(".stSlider [role=slider], .stSlider input").first
        slider.focus()
        page.keyboard.press("Home")
        page.wait_for_url(AT_10)
        assert probed(page, "step === 10") == 10
        there = len(list(run.glob("probes-*.arrow")))
        while len(list(run.glob("probes-*.arrow"))) < there + 5:  # others come meanwhile, which the page looks for
            page.wait_for_timeout(100)
        ready(page)
        assert place(page) == ("step 10", "step 10")
        assert probed(page) == 10
        slider.focus()
        page.keyboard.press("ArrowRight")  # from there, also if the row has grown under the key
        page.wait_for_url("**at=20*")
        assert probed(page, "step === 20") == 20
        page.keyboard.press("ArrowLeft")
        page.wait_for_url(AT_10)
        link = page.url
        assert choices(link) == {"run": ["probed"], "at": ["10"]}
        page.goto("about:blank")
        page.goto(link)
        assert probed(page, "step === 10") == 10
        slider.focus()
        page.keyboard.press("End")
        page.wait_for_url("**at=latest*")
        assert probed(page, f"step > {later} + 20") > later
    finally:
        training.kill()
        training.wait(30)


def place(page):
    """Returns where the slider stands and where it begins, in words."""
    _, now, first, *_ = filter(None, page.locator(".stSlider").inner_text().splitlines())
    return now, first


def probed(page, condition="true"):
    """Returns the step of the whole-data probe that the first figure shows, as soon as the condition holds for it."""
    found = f"""() => {{
      const text = document.querySelector('.gl-figure[data-drawn] p')?.textContent ?? '';
      const step = Number(/whole data at step ([\\d,]+)/.exec(text)?.[1].replaceAll(',', ''));
      return step && {condition} ? step : false;
    }}"""
    return page.wait_for_function(found).json_value()


# The order of choices in the address may change.
AT_10 = re.compile(r"at=10(&|$)")


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
