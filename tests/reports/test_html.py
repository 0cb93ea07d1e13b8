"""The report: complete, self-contained, escaped, atomic; and drawn by a real browser without a network where there is one."""

import json
import os
import re
import shutil
from html.parser import HTMLParser

import pytest

from gradlens.analysis.compare import compare
from gradlens.groups import ClassGroups
from gradlens.reports.html import ReportError, render, write_report
from gradlens.runlog import Run, RunWriter
from tests.made_runs import make_run

EVIL = "</script><script>alert('x')</script>"


class Page(HTMLParser):
    """Collects tags and texts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.places = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if dict(attrs).get("class") == "figure":
            self.places.append(dict(attrs)["id"])

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    groups = ClassGroups({"head": range(7), EVIL.replace("/", "|"): range(7, 10)}, 10)
    meta = {
        "dataset": EVIL,
        "command": ("python", "train.py", EVIL),
        "git_commit": "abc123",
        "engine_reason": "BatchNorm",
    }
    first = make_run(folder / "lt", groups=groups, layers=3, weights=(1.0, 0.1), absent=0.2, meta=meta)
    writer = RunWriter(folder / "lt", first.meta, resume=True)
    writer.event("phase", step=0, name=EVIL)
    writer.event("mark", step=10, text=EVIL)
    writer.event("evaluation", step=10, split=EVIL, head=3.0)
    writer.close()
    return Run(folder / "lt"), make_run(folder / "balanced", groups=groups, seed=1)


def drawn(text: str) -> dict:
    block = re.search(r"const figures = \[\n(.*?)\n\];", text, re.DOTALL).group(1)
    return dict(json.loads(f"[{block}]"))


def test_two_runs(tmp_path, runs):
    path = write_report(list(reversed(runs)), tmp_path / "new" / "report.html")
    text = path.read_text()
    page = Page(text)
    words = " ".join(page.texts)
    for part in (
        "Figure 1",
        "undecided",
        "Everything measured",
        "largest residual",
        "abc123",
        "BatchNorm",
        "distortion",
    ):
        assert part in words
    figures = drawn(text)
    assert sorted(figures) == sorted(page.places)
    titles = [figure["layout"]["title"]["text"] for figure in figures.values()]
    assert len(titles) == 2 + 1 + 2 * 7 + 1  # figure 1 twice, distortion, seven a run, layers of one
    # the long-tailed run stands left, whatever the order
    assert "lt and balanced" in figures["figure-0"]["layout"]["title"]["subtitle"]["text"]


def test_it_needs_nothing_from_outside(runs):
    text = render([runs[0]])
    page = Page(text)
    loaded = [a for tag, a in page.tags if "src" in a or (tag == "link")]
    assert loaded == []
    assert text.count("plotly.js v") == 1
    assert sum(tag == "script" for tag, _ in page.tags) == 2


def test_names_are_escaped(runs):
    text = render(runs)
    assert "<script>alert" not in text
    assert EVIL in " ".join(Page(text).texts)  # a reader still sees the command as it was


def test_it_is_replaced_as_a_whole(tmp_path, runs, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(ReportError, match=r"report\.html: No space left"):
        write_report([runs[1]], path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_what_cannot_be_written(tmp_path, runs):
    with pytest.raises(ReportError, match="no run"):
        write_report([], tmp_path / "report.html")
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match=r"cannot write .*choose another"):
        write_report([runs[1]], tmp_path / "file" / "report.html")


def test_runs_that_cannot_be_compared_are_still_reported(tmp_path, runs):
    other = make_run(tmp_path / "other", steps=0, groups=ClassGroups({"a": [0], "b": [1]}, 2), epochs=None)
    words = " ".join(Page(render([runs[0], other])).texts)
    assert "no group is the same in both runs" in words
    assert "largest residual" in words


def test_dark(runs):
    text = render([runs[1]], theme="dark")
    assert "color-scheme: dark" in text
    assert {figure["layout"]["paper_bgcolor"] for figure in drawn(text).values()} == {"#0E1117"}


CHROMIUM = shutil.which("chromium")


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_draws_it_offline(tmp_path, runs, width):
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install -e '.[dev]'")
    path = write_report(runs, tmp_path / "report.html")
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        context = browser.new_context(offline=True, viewport={"width": width, "height": 900})
        page = context.new_page()
        messages, requests = [], []
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        page.evaluate("document.getElementById('figure-0').scrollIntoView()")  # a figure is drawn when it is near
        page.wait_for_selector("#figure-0 .main-svg")
        page.evaluate("figures.forEach(draw)")
        page.wait_for_function("document.querySelectorAll('.figure .main-svg').length >= 2 * figures.length")
        assert messages == []
        assert [url for url in requests if not url.startswith(("data:", "blob:"))] == [path.as_uri()]
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        # what looks like markup in a name is shown as text
        assert EVIL.replace("/", "|") in page.text_content("#figure-0 .legend")
        browser.close()


def test_what_judges_a_statement_stands_below_it_and_reasons_stand_once(tmp_path):
    short = [make_run(tmp_path / name, steps=4, seed=seed) for seed, name in enumerate(("lt", "balanced"))]
    claims = compare(*short).claims
    assert {claim.supported for claim in claims} == {None}
    text = render(short)
    statements = [claim.statement for claim in claims]
    repeated = next(statement for statement in statements if statements.count(statement) > 1)
    words = Page(text).texts
    assert words.count(repeated) == 1
    reasons = {claim.note for claim in claims}
    # Below the table of means, and below that of the runs, they stand again.
    of_claims = [word for word in words if not re.match("Bold|(lt|balanced): Without an interval", word)]
    assert [sum(reason in word for word in of_claims) for reason in reasons] == [1] * len(reasons)
    assert sum(word in {str(number) for number in range(1, 1 + len(reasons))} for word in words) >= len(claims)
