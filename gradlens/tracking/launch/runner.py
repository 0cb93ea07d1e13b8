"""The script runner: executes a program as ``python`` would, in this process."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable
from types import ModuleType, TracebackType

from gradlens.tracking.errors import TrackError
from gradlens.tracking.launch.program import Program
from gradlens.tracking.watch.tracebacks import clean, clean_what_is_printed

# The modules that were __main__ before. They are kept here, because Python clears a module with its last reference.
_replaced: list[ModuleType] = []


def run(program: Program, arguments: list[str], on_end: Callable[[BaseException | None], None]) -> None:
    """Runs the program. Returns, exits or raises as the program does.

    Args:
        program: The program to run.
        arguments: ``sys.argv[1:]`` of the program.
        on_end: Is called with the exception that ended the program (SystemExit included), or None.

    Raises:
        TrackError: The program's code cannot be found.
        BaseException: The program has raised it. Python then prints it without the frames of gradlens.
    """
    sys.argv[:] = [program.argv0, *arguments]
    # In isolated or safe-path mode Python puts no folder there.
    if not sys.flags.safe_path:
        sys.path[0] = program.first_path
    clean_what_is_printed()
    try:
        main = program.load()
        sys.argv[0] = main.argv0
        namespace = ModuleType("__main__")
        vars(namespace).update(main.attributes, __builtins__=builtins, __annotations__={})
        # Not undone after the call: pickling, spawned workers and atexit functions look for classes in __main__ later.
        _replaced.append(sys.modules["__main__"])
        sys.modules["__main__"] = namespace
        exec(main.code, vars(namespace))
    except TrackError:
        raise
    except BaseException as error:
        on_end(error)
        _hide_own_frames()
        raise
    on_end(None)


def _hide_own_frames() -> None:
    """Removes gradlens' frames right before Python prints the traceback. Python does the rest (hooks, exit code, signal)."""
    hook = sys.excepthook

    def cleaned(kind: type[BaseException], error: BaseException, _: TracebackType | None) -> None:
        sys.excepthook = hook
        clean(error)
        hook(kind, error, error.__traceback__)

    sys.excepthook = cleaned
