"""The entry point of the command ``gradlens``."""

from __future__ import annotations

from gradlens.commands.command_line import run


def main() -> None:
    """Runs the command line.

    Raises:
        SystemExit: After every command, except a tracked program that runs to its end.
        BaseException: Any exception of a tracked program.
    """
    run()
