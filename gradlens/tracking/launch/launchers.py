"""Programs that start the training in other processes, where tracking from outside would see nothing."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

# What a launcher calls the option that runs a module.
LAUNCHERS = {"torchrun": "-m", "accelerate": "-m", "deepspeed": "--module"}
MODULES = ("torch.distributed.run", "torch.distributed.launch", "accelerate.commands.launch")
# Of torchrun: the program is no script for its Python.
NO_PYTHON = "--no-python"
# Launchers of any program: the command that they start begins with an interpreter.
WRAPPERS = ("mpirun", "mpiexec", "srun")


def instead(target: str, arguments: Sequence[str], own: Sequence[str], *, is_module: bool) -> str | None:
    """Returns the command that tracks what a launcher starts; None where ``target`` is no launcher.

    Args:
        target: The script or module that was to be tracked.
        arguments: Its arguments.
        own: The options of ``gradlens track``.
        is_module: Whether ``target`` is a module's name.
    """
    name = Path(target).name
    if is_module and target in MODULES:
        start, option = ["python", "-m", target], "-m"
    elif not is_module and name in LAUNCHERS:
        start, option = [name], LAUNCHERS[name]
    elif not is_module and name in WRAPPERS:
        return _wrapped(name, arguments, own)
    else:
        return None
    track = [option, "gradlens", "track", *own]
    if NO_PYTHON in arguments:
        if any(_is_python(argument) for argument in arguments):
            return _wrapped(name, arguments, own)
        arguments = [argument for argument in arguments if argument != NO_PYTHON]  # it excludes running a module
    for at, argument in enumerate(arguments):
        if argument in ("-m", "--module") and at + 1 < len(arguments):
            return shlex.join([*start, *arguments[:at], *track, "-m", *arguments[at + 1 :]])
        if argument.endswith(".py"):
            return shlex.join([*start, *arguments[:at], *track, *arguments[at:]])
        if Path(argument).is_file() and os.access(argument, os.X_OK):  # a program that starts Python by itself
            return shlex.join([*start, *arguments[:at], *track, "train.py"])
    return shlex.join([*start, *arguments, *track, "train.py"])


def _wrapped(name: str, arguments: Sequence[str], own: Sequence[str]) -> str:
    for at, argument in enumerate(arguments):
        if _is_python(argument):
            return shlex.join([name, *arguments[: at + 1], "-m", "gradlens", "track", *own, *arguments[at + 1 :]])
    return shlex.join([name, *arguments, "python", "-m", "gradlens", "track", *own, "train.py"])


def _is_python(argument: str) -> bool:
    return Path(argument).name.startswith("python")
