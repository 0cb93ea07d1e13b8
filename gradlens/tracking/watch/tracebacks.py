"""Removes the frames of gradlens from tracebacks, so that an error of the script looks as it does without tracking."""

from __future__ import annotations

import threading
import traceback as tracebacks
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

_PACKAGE = str(Path(__file__).resolve().parents[2]) + "/"
_TRACKING = f"{_PACKAGE}tracking/"
# The functions here call the script's hooks.
_GUARDS = f"{_PACKAGE}guards/"
# This file compiles programs. An error there (a SyntaxError) is the program's, and Python shows no frame for it.
_COMPILES = f"{_TRACKING}launch/program.py"
_RUNS = f"{_TRACKING}launch/runner.py"
# The functions of the module ``traceback`` that read a traceback for all others (the private one since Python 3.11).
_READERS = ("walk_tb", "_walk_tb_with_full_positions")


def clean(error: BaseException) -> None:
    """Removes gradlens' frames from the traceback of an error, and of the errors that caused it.

    All frames above the program's first one are removed, too.
    """
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        current = waiting.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        current.__traceback__ = without_own(current.__traceback__, shown=isinstance(current, Exception))
        waiting += [current.__cause__, current.__context__]
        if isinstance(current, BaseExceptionGroup):
            waiting += current.exceptions


def clean_what_is_printed() -> None:
    """Does the same for ``traceback.print_exc()`` and ``logging.exception()`` of the script, and for errors in threads."""
    for name in _READERS:
        ordinary = getattr(tracebacks, name, None)
        if ordinary is not None:
            setattr(tracebacks, name, _reading(ordinary))
    in_thread = threading.excepthook

    def excepthook(args: Any) -> None:
        if args.exc_value is not None:
            clean(args.exc_value)
            args = type(args)((args.exc_type, args.exc_value, args.exc_value.__traceback__, args.thread))
        in_thread(args)

    threading.excepthook = excepthook


def without_own(traceback: TracebackType | None, *, shown: bool = True) -> TracebackType | None:
    """Returns a traceback without gradlens' frames. If the error was raised in gradlens, its innermost frame stays.

    Removed are the wrappers that the script calls instead of functions of torch, and all that they call. Frames of gradlens
    that the script calls itself (``gradlens.longtail``, a ``Lens``) stay: they would be there without tracking, too.

    Args:
        traceback: Is changed.
        shown: Whether the innermost frame stays if it is gradlens'. False for an interrupt: it is no error of gradlens.
    """
    try:
        return _kept(traceback, shown)
    except Exception:  # an error of gradlens must not replace the script's own error
        return traceback


def _kept(traceback: TracebackType | None, shown: bool) -> TracebackType | None:
    entries: list[TracebackType] = []
    while traceback is not None:
        entries.append(traceback)
        traceback = traceback.tb_next
    starts = [n for n, entry in enumerate(entries) if _is_runner(entry)]
    if starts:
        entries = entries[starts[-1] + 1 :]
    kept: list[TracebackType] = []
    inside = own = alone = False
    for entry in entries:
        packaged = entry.tb_frame.f_code.co_filename.startswith(_PACKAGE)
        # In a row of gradlens' frames only the first shows whether the script called it; the others were called by gradlens.
        own = packaged and (own if inside else _stands_in(entry))
        alone = packaged and not inside
        inside = packaged
        if not own:
            kept.append(entry)
    # A call that fails before the function begins (wrong arguments) has only the frame of the wrapper that called it.
    if own and shown and not alone and entries[-1].tb_frame.f_code.co_filename != _COMPILES:
        kept.append(entries[-1])
    for position, entry in enumerate(kept):
        entry.tb_next = kept[position + 1] if position + 1 < len(kept) else None
    return kept[0] if kept else None


def _stands_in(entry: TracebackType) -> bool:
    """Says whether a frame is that of a wrapper of gradlens, which the script calls as if it were the wrapped function.

    All wrappers outside tracking and guards are made inside another function.
    """
    code = entry.tb_frame.f_code
    return code.co_filename.startswith((_TRACKING, _GUARDS)) or "<locals>" in code.co_qualname


def _is_runner(entry: TracebackType) -> bool:
    code = entry.tb_frame.f_code
    return code.co_name == "run" and code.co_filename == _RUNS


def _reading(ordinary: Callable[..., Any]) -> Callable[..., Any]:
    def read(traceback: Any) -> Any:
        return ordinary(without_own(traceback) if isinstance(traceback, TracebackType) else traceback)

    return read
