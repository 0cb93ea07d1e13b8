"""The dashboard in a real browser, beside a training that `gradlens track` really watches."""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.dashboard_runs import rewrite
from tests.e2e.browser import NEEDS_BROWSER, PAGES, WITHOUT_FIGURES, figures_drawn, ready, titled

pytestmark = NEEDS_BROWSER
TRAINING = """
import time, torch
from torch.nn.functional import cross_entropy
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4))
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
x, y = torch.randn(400, 8), torch.arange(400) % 4
for step in range(100_000):
    rows = torch.randint(0, 400, (32,))
    optimizer.zero_grad()
    cross_entropy(model(x[rows]), y[rows]).backward()
    optimizer.step()
    time.sleep(0.02)
"""


def test_every_page_paints_without_an_error(page, address):
    for path, title in PAGES.items():
        page.goto(f"{address}/{path}")
        titled(page, title)
        ready(page)
        if path not in WITHOUT_FIGURES:
            figures_drawn(page)
            assert page.locator(".gl-plot .main-svg").count() > 0
            images = page.locator(".gl-plot .main-svg:not([aria-hidden])")
            assert images.count() == page.locator(".gl-plot:has(.main-svg)").count()
            assert all(image.get_attribute("aria-label") for image in images.all())


def test_navigation_choices_in_the_address_and_back(page, address):
    page.goto(address)
    page.get_by_role("link", name="Run", exact=True).click()
    titled(page, "Run")
    page.wait_for_url("**/run?run=dual*")  # the choice stands in the address although it is the default
    page.get_by_text("Epoch", exact=True).click()
    page.wait_for_url("**x=epoch*")
    page.get_by_text("Loss and accuracy", exact=True).click()
    page.wait_for_url("**show=fit*")
    ready(page)
    link = page.url
    page.get_by_role("link", name="Compare").click()
    titled(page, "Compare")
    page.go_back()  # one step, and all that was chosen is there again
    titled(page, "Run")
    page.wait_for_selector("h2:has-text('Accuracy per group')")
    assert page.url == link
    page.go_back()
    titled(page, "Runs")
    page.go_forward()
    page.wait_for_selector("h2:has-text('Accuracy per group')")
    assert page.url == link
    page.goto(link)
    page.wait_for_selector("h2:has-text('Accuracy per group')")
    assert page.locator(".gl-plot .xtitle").first.inner_html() == "epoch"


def test_selected_runs_stay_selected_when_rows_move(page, address, folder):
    page.goto(f"{address}/?pick=lt&pick=balanced")
    compare = page.get_by_role("button", name="Compare the selected")
    titled(page, "Runs")
    ready(page)
    page.get_by_role("button", name="Open lt").wait_for()
    shutil.copytree(folder / "balanced", folder / "newest")
    try:
        rewrite(folder / "newest", started=time.time())  # comes first: all other rows move down
        page.get_by_role("button", name="Open lt").wait_for()
        # The table is painted; its cells stand in the canvas as text for screen readers.
        page.wait_for_function("() => document.querySelector('.stDataFrame canvas')?.textContent.includes('newest')")
        ready(page)
        compare.click()
        titled(page, "Compare")
        page.wait_for_url("**/compare?runs=lt&runs=balanced*")
    finally:
        shutil.rmtree(folder / "newest")


def test_downloads(page, address, tmp_path):
    page.goto(f"{address}/run?run=lt")
    figures_drawn(page)
    ready(page)
    for kind, start_of in (
        ("PNG", b"\x89PNG"),
        ("SVG", b"<svg"),
        ("HTML", b"<!doctype html>"),
        ("CSV", b"panel,series,x,y,value"),
    ):
        with page.expect_download() as download:
            page.get_by_role("button", name=re.compile(f"Download as {kind}: Which way")).click()
        assert download.value.suggested_filename == f"lt-cosines.{kind.lower()}"
        data = Path(download.value.path()).read_bytes()
        assert data.startswith(start_of)
        assert len(data) > 5000
        if kind == "CSV":
            assert data.count(b"\n1,tail,") == 200
        if kind == "HTML":
            (tmp_path / "figure.html").write_bytes(data)
    page.goto((tmp_path / "figure.html").as_uri())
    page.wait_for_selector(".main-svg")


def test_a_click_on_a_layer_shows_its_curves(page, address):
    page.goto(f"{address}/run?run=lt&show=layers")
    figures_drawn(page)
    page.wait_for_selector("h2:has-text('Layer block.2.conv')")
    area = page.locator(".gl-plot .nsewdrag").first.bounding_box()
    page.mouse.move(area["x"] + area["width"] / 2, area["y"] + area["height"] / 6)
    page.wait_for_timeout(300)
    page.mouse.click(area["x"] + area["width"] / 2, area["y"] + area["height"] / 6)
    page.wait_for_selector("h2:has-text('Layer block.0.conv')")
    page.wait_for_url("**layer=block.0.conv*")


def test_dark_theme_and_narrow_screen(page, address):
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme="dark")
    for path, title in PAGES.items():
        page.goto(f"{address}/{path}")
        titled(page, title)
        ready(page)
        if path not in WITHOUT_FIGURES:
            figures_drawn(page)
            assert page.locator(".gl-plot .main-svg").first.evaluate("e => e.style.background") == "rgb(14, 17, 23)"
        # nothing sticks out to the right
        assert page.evaluate("document.scrollingElement.scrollWidth") <= 390
        wide = "[...document.querySelectorAll('.gl-figure')].filter(f => f.getBoundingClientRect().right > 391).length"
        assert page.evaluate(wide) == 0
        if path == "paper":
            tops = page.evaluate(
                "[...document.querySelectorAll('.gl-plot .nsewdrag')].map(p => p.getBoundingClientRect().top)"
            )
            assert len(tops) == 4
            assert tops == sorted(set(tops))  # the panels stand one below the other


def test_a_live_training_grows_and_keeps_the_zoom(page, address, folder, tmp_path):
    script = tmp_path / "train.py"
    script.write_text(TRAINING)
    command = [sys.executable, "-m", "gradlens", "track", "--groups", "head=0-2,tail=3", "--every", "1"]
    training = subprocess.Popen(
        [*command, "--out", str(folder / "training"), str(script)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        page.goto(address)
        page.wait_for_function("() => document.body.innerText.includes('Open training')")  # a new run appears by itself
        page.goto(f"{address}/run?run=training&smooth=1")
        figures_drawn(page)
        ready(page)
        first = last_step(page)
        zoom = drag(page)
        assert zoom[1] < last_step(page)
        page.locator("[data-testid='stMain']").evaluate("e => e.scrollTo(0, 250)")
        page.wait_for_function(f"() => ({LAST}) > {first + 60}")
        assert shown(page) == pytest.approx(zoom, rel=1e-9)
        assert page.locator("[data-testid='stMain']").evaluate("e => e.scrollTop") == 250
        page.get_by_text("Live", exact=True).click()  # pause
        page.wait_for_url("**live=off*")
        ready(page)
        time.sleep(1)
        held = last_step(page)
        time.sleep(4)
        assert last_step(page) == held
        page.get_by_text("Live", exact=True).click()
        page.wait_for_function(f"() => ({LAST}) > {held + 50}")
        assert shown(page) == pytest.approx(zoom, rel=1e-9)
        training.terminate()
        training.wait(30)
        page.wait_for_selector("text=was killed")  # and nothing is left to follow
        page.get_by_text("Live", exact=True).wait_for(state="detached")
        page.locator(".gl-plot .nsewdrag").first.dblclick(position={"x": 20, "y": 20})
        page.wait_for_function(f"() => document.querySelector('.gl-plot')?._fullLayout?.xaxis.range[0] < {zoom[0]}")
    finally:
        training.kill()


# The second figure is not zoomed: its axis ends at the last measured step.
# Measured steps, of which each step of this training is one.
LAST = "Number((document.body.innerText.match(/measured steps\\s+([\\d,]+)/)?.[1] ?? '0').replaceAll(',', ''))"


def last_step(page):
    return page.evaluate(LAST)


def shown(page):
    return page.wait_for_function("() => document.querySelector('.gl-plot')?._fullLayout?.xaxis.range").json_value()


def drag(page):
    # Its place in one go: each redraw may replace the element, and for a moment there is none.
    place = """() => {
      const box = document.querySelector('.gl-plot .nsewdrag')?.getBoundingClientRect();
      return box?.width ? [box.x, box.width, box.y] : null;
    }"""
    left, width, top = page.wait_for_function(place).json_value()
    before = shown(page)
    page.mouse.move(left + 0.2 * width, top + 60)
    page.mouse.down()
    page.mouse.move(left + 0.3 * width, top + 64, steps=3)
    page.wait_for_timeout(3000)  # new measurements come meanwhile
    page.mouse.move(left + 0.6 * width, top + 64, steps=6)
    page.mouse.up()
    page.wait_for_function(f"() => document.querySelector('.gl-plot')?._fullLayout?.xaxis.range[0] > {before[0] + 1}")
    return shown(page)
