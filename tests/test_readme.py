"""The README and the other pages: code runs as it is pasted, files exist, commands are taken, and numbers are their tables'."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer.main

from gradlens.commands.command_line import app
from gradlens.metrics.catalogue import QUANTITIES
from gradlens.metrics.table import with_table
from gradlens.runlog import Run

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
CODE = ("gradlens", "app", "experiments", "tests")
PAGES = sorted([*ROOT.glob("*.md"), *(page for folder in CODE for page in (ROOT / folder).rglob("*.md"))])


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def shown(program):
    """Returns the arguments of every command of a program in any page."""
    texts = [block for page in PAGES for block in blocks(page.read_text(), "bash")]
    lines = [shlex.split(line, comments=True) for text in texts for line in text.splitlines()]
    return [line[1:] for line in lines if line[:1] == [program]]


def anchors(page):
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_the_code_runs_as_it_stands(tmp_path):
    pytest.importorskip("sklearn")
    (code,) = blocks(README, "python")

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )

    assert done.returncode == 0, done.stderr
    run = Run(tmp_path / "runs" / "digits")
    assert run.status.state == "finished"
    assert len(run) == 160
    assert len(run.probes) == 10
    assert run.groups.names == ("head", "tail")
    assert np.nanmax(run.residual) < 1e-5
    assert "distortion 0." in done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_and_headings_that_are_linked_exist(page):
    targets = re.findall(r"\]\(([^)]+)\)", page.read_text())
    for file, _, heading in (target.partition("#") for target in targets if not target.startswith(("http:", "https:"))):
        linked = page.parent / file if file else page
        assert linked.exists(), file
        assert not heading or heading in anchors(linked), heading


def test_every_page_is_reached_from_the_readme():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop().resolve()
        if page not in reached and page.suffix == ".md":
            reached.add(page)
            links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
            waiting += [page.parent / link for link in links if not link.startswith(("http:", "https:"))]
    assert [page for page in PAGES if page not in reached] == []


def test_commands_and_their_options_exist():
    commands = typer.main.get_command(app).commands
    assert len(shown("gradlens")) > 8
    for command, *arguments in shown("gradlens"):
        taken = {name for parameter in commands[command].params for name in parameter.opts}
        if command != "train":  # reads its own arguments
            own = arguments[: arguments.index("train.py")] if "train.py" in arguments else arguments
            options = {argument.partition("=")[0] for argument in own if argument.startswith("-")}
            assert options <= taken, (command, arguments)
    for script, *_ in shown("python"):
        assert (ROOT / script).exists()


def test_the_styles_are_as_many_as_the_table_says():
    (count,) = re.findall(r"\[(\d+) styles of training\]", README)
    assert f"{count} of {count} styles" in (ROOT / "experiments" / "results" / "SUPPORT.md").read_text()


@pytest.mark.parametrize("page", ["README.md", "gradlens/metrics/README.md"])
def test_the_table_of_quantities_is_the_catalogue(page):
    text = (ROOT / page).read_text()
    assert with_table(text) == text, "make quantities writes the table anew"
    rows = re.findall(r"^\| [^|]+ \| `(\w+)` \|", text, re.MULTILINE)
    assert (
        {"share", "cosine", "norm", "mean_norm", "conflict", "residual", "distortion"} <= set(rows) <= QUANTITIES.keys()
    )
