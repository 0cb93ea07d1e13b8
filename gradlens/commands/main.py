"""The entry point of the command ``gradlens``."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    """Runs the command line.

    Raises:
        SystemExit: After every command, except a tracked program that runs to its end.
        BaseException: Any exception of a tracked program.
    """
    arguments = sys.argv[1:]
    # To import the parser takes longer than to list a thousand runs. A folder alone needs none.
    if arguments[:1] == ["ls"] and len(arguments) <= 2 and not arguments[-1].startswith("-"):
        from gradlens.commands.ls import print_runs
        from gradlens.commands.refusals import refusals

        with refusals():
            print_runs(Path(*arguments[1:] or ["runs"]))
        sys.exit(0)
    from gradlens.commands.command_line import run

    run()
