"""Recognises launchers such as torchrun, which start the training in other processes, and says the right command.

`gradlens track torchrun ...` would see nothing of the training; `torchrun ... gradlens track ...` does.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

# Each launcher's option that runs a module.
LAUNCHERS = {"torchrun": "-m", "accelerate": "-m", "deepspeed": "--module"}
MODULES = ("torch.distributed.run", "torch.distributed.launch", "accelerate.commands.launch")
# An option of torchrun: it starts the program itself, not as a script of Python.
NO_PYTHON = "--no-python"
# Launchers of any program: the command after them begins with an interpreter.
WRAPPERS = ("mpirun", "mpiexec", "srun")


def instead(target: str, arguments: Sequence[str], own: Sequence[str], *, is_module: bool) -> str | None:
    """Returns the command that tracks the training which a launcher starts; None if ``target`` is no launcher.

    Args:
        target: The script or module that `gradlens track` was called with.
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
        arguments = [argument for argument in arguments if argument != NO_PYTHON]  # it cannot be used with a module
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
