"""What users rely on: public names with their arguments, and the options of the commands. A change must be meant.

`python -m tests.test_public_names > tests/public_names.txt` writes the list anew; CHANGELOG.md says what has changed.
"""

from __future__ import annotations

import doctest
import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

import gradlens

LIST = Path(__file__).with_name("public_names.txt")


def arguments(function: object) -> str:
    """Returns the names and defaults of what a function takes, without types."""
    signature = inspect.signature(function)
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))


def members(owner: type) -> Iterator[str]:
    """Yields the public members of a class, its own and inherited ones."""
    for name, member in sorted(inspect.getmembers_static(owner)):
        if name.startswith("_") or name in inspect.get_annotations(owner):
            continue
        if isinstance(member, (classmethod, staticmethod)) or inspect.isfunction(member):
            kind = "classmethod " if isinstance(member, classmethod) else ""
            yield f"  {kind}{name}{arguments(getattr(member, '__func__', member))}"
        else:
            yield f"  {name}"


def commands() -> Iterator[str]:
    """Yields every command with its arguments, and its options with their defaults."""
    from gradlens.commands.command_line import app
    from gradlens.commands.train import app as train

    for name, command in sorted(typer.main.get_command(app).commands.items()):
        yield f"gradlens {name}"
        for option in [*command.params, *(typer.main.get_command(train).params if name == "train" else [])]:
            yield f"  {' '.join([*option.opts, *option.secondary_opts])} = {option.default}"


def public_names() -> str:
    lines = []
    for name in sorted(gradlens.__all__):
        value = getattr(gradlens, name)
        lines += [f"gradlens.{name}{arguments(value)}", *(members(value) if inspect.isclass(value) else ())]
    return "\n".join([*lines, *commands()]) + "\n"


def test_names_arguments_and_options_are_as_they_were():
    assert public_names() == LIST.read_text(), f"{__doc__}"


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory):
    """A folder that holds runs/digits, as the examples in docstrings suppose."""
    pytest.importorskip("sklearn")
    from tests.tracking.processes import plain

    folder = tmp_path_factory.mktemp("doctest")
    loop = Path(__file__).parents[1] / "experiments" / "examples" / "lens_loop.py"
    assert plain(folder, str(loop), "runs/digits").code == 0
    return folder


@pytest.mark.parametrize("name", sorted(gradlens.__all__))
def test_the_example_of_each_name_runs(name, finished_run, monkeypatch):
    monkeypatch.chdir(finished_run)
    value = getattr(gradlens, name)
    home = importlib.import_module(value.__module__)
    (found,) = doctest.DocTestFinder(recurse=False).find(value, name, module=home, globs={})
    assert found.examples, f"gradlens.{name} has no example"
    report: list[str] = []
    outcome = doctest.DocTestRunner().run(found, out=report.append)
    assert outcome.failed == 0, "".join(report)


if __name__ == "__main__":
    sys.stdout.write(public_names())
