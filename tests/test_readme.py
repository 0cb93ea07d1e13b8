"""The README: its code runs as it is pasted, its files exist, its commands are taken, and its count of styles is the table's."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer.main

from gradlens.commands.main import app
from gradlens.runlog import Run

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def shown(program):
    """Returns the arguments of every command of a program in the README."""
    lines = [shlex.split(line, comments=True) for block in blocks("bash") for line in block.splitlines()]
    return [line[1:] for line in lines if line[:1] == [program]]


def test_the_code_runs_as_it_stands(tmp_path):
    pytest.importorskip("sklearn")
    (code,) = blocks("python")

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


def test_files_and_headings_that_are_linked_exist():
    for target in re.findall(r"\]\(([^)]+)\)", README):
        if target.startswith("#"):
            headings = [heading.lower().replace(" ", "-") for heading in re.findall(r"^#+ (.*)$", README, re.MULTILINE)]
            assert target[1:] in headings
        else:
            assert (ROOT / target).exists(), target


def test_commands_and_their_options_exist():
    commands = typer.main.get_command(app).commands
    assert len(shown("gradlens")) > 8
    for command, *arguments in shown("gradlens"):
        taken = {name for parameter in commands[command].params for name in parameter.opts}
        if command != "train":  # reads its own arguments
            own = arguments[: arguments.index("train.py")] if "train.py" in arguments else arguments
            assert {argument for argument in own if argument.startswith("-")} <= taken, (command, arguments)
    for script, *_ in shown("python"):
        assert (ROOT / script).exists()


def test_the_styles_are_as_many_as_the_table_says():
    (count,) = re.findall(r"\[(\d+) styles of training\]", README)
    assert f"{count} of {count} styles" in (ROOT / "experiments" / "results" / "SUPPORT.md").read_text()
