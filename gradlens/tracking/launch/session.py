"""Runs `gradlens track` from the checked command line to the end of the program."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gradlens.tracking.errors import TrackError
from gradlens.tracking.launch import program as programs
from gradlens.tracking.launch.ending import Ending
from gradlens.tracking.launch.launchers import instead
from gradlens.tracking.launch.program import Program
from gradlens.tracking.launch.run_folder import RUNS, make_folder, remove_if_empty
from gradlens.tracking.launch.runner import run
from gradlens.tracking.launch.spawning import watch
from gradlens.tracking.launch.torch_import import after_torch_import
from gradlens.tracking.messages import follow
from gradlens.tracking.options import TrackOptions
from gradlens.tracking.watch.tracker import Tracker


def track(options: TrackOptions, target: str, arguments: Sequence[str], *, is_module: bool) -> None:
    """Runs a program and measures its training. Returns, exits or raises as the program does.

    Args:
        options: Checked options.
        target: Path of the script, or name of the module.
        arguments: The program's arguments.
        is_module: Whether ``target`` is a module's name.

    Raises:
        TrackError: The program cannot be found or must be started another way, or the run's folder cannot be made.
        SystemExit: The program exits. Or, with code 1, tracking is strict and has failed without ending the program.
    """
    command = instead(target, arguments, _own_options(len(arguments) + 1 + is_module), is_module=is_module)
    if command is not None:
        raise TrackError(
            f"{target} starts the training in processes that gradlens outside of them cannot see; write: {command}"
        )
    program: Program = programs.module(target) if is_module else programs.script(target)
    rank = int(os.environ.get("RANK", "0")) if int(os.environ.get("WORLD_SIZE", "1")) > 1 else 0
    if rank:
        follow(rank)
        options = replace(options, follows=True)
        folder = Path(RUNS / program.name).absolute()
    else:
        folder = make_folder(options.out, options.name, program.name)
    ending = Ending()
    tracker = ending.tracker = Tracker(options, folder, ending.attached)
    after_torch_import(lambda: _start(tracker))
    try:
        run(program, list(arguments), ending.program_ended)
    except TrackError:
        ending.tracker = None
        tracker.stop()
        if not options.follows:
            remove_if_empty(folder)
        raise
    if options.strict and tracker.faults.failure is not None:
        raise SystemExit(1)


def _own_options(rest: int) -> list[str]:
    """Returns the words of the command line after ``track``, without the last ``rest`` words."""
    words = sys.argv[: len(sys.argv) - rest]
    return words[words.index("track") + 1 :] if "track" in words else []


def _start(tracker: Tracker) -> None:
    """Starts the tracker inside the script's own ``import torch``. An error of gradlens must not break that import."""
    tracker.faults.quietly(tracker.start)
    tracker.faults.quietly(watch, tracker.options, tracker.folder)
