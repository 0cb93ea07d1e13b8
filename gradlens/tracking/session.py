"""One tracked run of a program, from the checked command line to the program's own end."""

from __future__ import annotations

import os
from collections.abc import Sequence

from gradlens.tracking import program as programs
from gradlens.tracking.ending import Ending
from gradlens.tracking.errors import TrackError
from gradlens.tracking.messages import say
from gradlens.tracking.options import TrackOptions
from gradlens.tracking.program import Program
from gradlens.tracking.run_folder import make_folder, remove_if_empty
from gradlens.tracking.runner import run
from gradlens.tracking.torch_import import after_torch_import
from gradlens.tracking.tracker import Tracker


def track(options: TrackOptions, target: str, arguments: Sequence[str], *, is_module: bool) -> None:
    """Runs a program and measures its training; returns, exits or raises as the program does.

    Args:
        options: Checked options.
        target: Path of the script, or name of the module.
        arguments: The program's arguments.
        is_module: Whether ``target`` is a module's name.

    Raises:
        TrackError: The program or the run's folder cannot be had.
        SystemExit: The program exits; or code 1 where tracking is strict and failed unseen by the program.
    """
    program: Program = programs.module(target) if is_module else programs.script(target)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        say(
            "this process is one of several that train together, which is not measured yet; it runs as without gradlens"
        )
        run(program, list(arguments), lambda _: None)
        return
    folder = make_folder(options.out, options.name, program.name)
    ending = Ending()
    tracker = ending.tracker = Tracker(options, folder, ending.attached)
    after_torch_import(tracker.start)
    try:
        run(program, list(arguments), ending.program_ended)
    except TrackError:
        ending.tracker = None
        tracker.stop()
        remove_if_empty(folder)
        raise
    if options.strict and tracker.failure is not None:
        raise SystemExit(1)
