"""Tracks the processes that a tracked script starts with torch.multiprocessing."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradlens.tracking.messages import follow
from gradlens.tracking.options import TrackOptions

if TYPE_CHECKING:
    from gradlens.tracking.watch.tracker import Tracker


class TrackedFunction:
    """Runs the script's function in such a process, and tracks it. It can be pickled if the function can."""

    def __init__(self, function: Callable[..., Any], options: TrackOptions, folder: Path) -> None:
        self._function, self._options, self._folder = function, options, folder

    def __call__(self, index: int, *arguments: Any) -> Any:
        """Runs the function, tracked.

        Args:
            index: Number of the process; process 0 writes the run.
            *arguments: The function's other arguments.
        """
        from gradlens.tracking.launch.ending import Ending
        from gradlens.tracking.watch.tracker import Tracker

        if index:
            follow(index)
        ending = Ending()
        tracker = ending.tracker = Tracker(replace(self._options, follows=index > 0), self._folder, ending.attached)
        tracker.faults.quietly(self._start, tracker)
        try:
            result = self._function(index, *arguments)
        except BaseException as error:
            ending.program_ended(error)
            raise
        else:
            ending.program_ended(None)
            return result
        finally:
            ending.finish()

    def _start(self, tracker: Tracker) -> None:
        before = _loss_functions()
        tracker.start()
        _rename(before, getattr(inspect.unwrap(self._function), "__globals__", {}))


def watch(options: TrackOptions, folder: Path) -> None:
    """Makes ``torch.multiprocessing.spawn`` and ``start_processes`` start tracked processes.

    Args:
        options: The options of the command line.
        folder: The run's folder.
    """
    # import_module, because the attribute ``spawn`` of the package is the function of the same name.
    module = importlib.import_module("torch.multiprocessing.spawn")
    ordinary = module.start_processes

    @functools.wraps(ordinary)
    def start_processes(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return ordinary(TrackedFunction(fn, options, folder), *args, **kwargs)

    for home in (module, sys.modules["torch.multiprocessing"]):
        home.start_processes = start_processes  # type: ignore[attr-defined]


def _loss_functions() -> dict[str, Any]:
    import torch.nn.functional

    return dict(vars(torch.nn.functional))


def _rename(before: dict[str, Any], names: dict[str, Any]) -> None:
    """Gives the script's names of loss functions the patched functions. The script was imported before torch was patched.

    Args:
        before: The names of torch.nn.functional before it was patched.
        names: The global names of the script's function; they are changed.
    """
    after = _loss_functions()
    changed = {id(before[name]): after[name] for name in after if name in before and after[name] is not before[name]}
    names.update({name: changed[id(value)] for name, value in names.items() if id(value) in changed})
