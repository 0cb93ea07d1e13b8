"""Tracebacks without the frames of gradlens: an error of the script looks as it does without tracking."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

_PACKAGE = Path(__file__).resolve().parents[1]
# Code that stands between a script and torch; the rest of the package a script may call itself.
_OWN = tuple(str(_PACKAGE / part) for part in ("tracking/", "engines/", "lens", "meter", "cli.py", "__main__.py"))
# Where programs are compiled: an error there (a SyntaxError) is the program's, and Python shows no frame for it.
_COMPILES = str(_PACKAGE / "tracking" / "program.py")


def clean(error: BaseException) -> None:
    """Removes our frames from the traceback of an error and of the errors that it came from.

    What is above the program's first frame goes entirely; an error whose innermost frame is ours keeps it, being ours.
    """
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        current = waiting.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        current.__traceback__ = _without_own(current.__traceback__)
        waiting += [current.__cause__, current.__context__]
        if isinstance(current, BaseExceptionGroup):
            waiting += current.exceptions


def _without_own(traceback: TracebackType | None) -> TracebackType | None:
    entries = []
    while traceback is not None:
        entries.append(traceback)
        traceback = traceback.tb_next
    starts = [n for n, entry in enumerate(entries) if _is_runner(entry)]
    if starts:
        entries = entries[starts[-1] + 1 :]
    kept = [entry for entry in entries[:-1] if not _is_own(entry)] + entries[-1:]
    if kept and kept[-1].tb_frame.f_code.co_filename == _COMPILES:
        kept.pop()
    for position, entry in enumerate(kept):
        entry.tb_next = kept[position + 1] if position + 1 < len(kept) else None
    return kept[0] if kept else None


def _is_runner(entry: TracebackType) -> bool:
    code = entry.tb_frame.f_code
    return code.co_name == "run" and code.co_filename == str(_PACKAGE / "tracking" / "runner.py")


def _is_own(entry: TracebackType) -> bool:
    return entry.tb_frame.f_code.co_filename.startswith(_OWN)
