"""Programs that start the training in other processes, where tracking from outside would see nothing."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

# What a launcher calls the option that runs a module.
LAUNCHERS = {"torchrun": "-m", "accelerate": "-m", "deepspeed": "--module"}
MODULES = ("torch.distributed.run", "torch.distributed.launch", "accelerate.commands.launch")
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
    for at, argument in enumerate(arguments):
        if argument in ("-m", "--module") and at + 1 < len(arguments):
            return shlex.join([*start, *arguments[:at], *track, "-m", *arguments[at + 1 :]])
        if argument.endswith(".py"):
            return shlex.join([*start, *arguments[:at], *track, *arguments[at:]])
    return shlex.join([*start, *arguments, *track, "train.py"])


def _wrapped(name: str, arguments: Sequence[str], own: Sequence[str]) -> str:
    for at, argument in enumerate(arguments):
        if Path(argument).name.startswith("python"):
            return shlex.join([name, *arguments[: at + 1], "-m", "gradlens", "track", *own, *arguments[at + 1 :]])
    return shlex.join([name, *arguments, "python", "-m", "gradlens", "track", *own, "train.py"])
