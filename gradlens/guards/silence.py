"""Silence: what the script's functions print, log or warn of in gradlens' own passes is not heard.

A backward function that prints runs several times in a measured step, and so does a checkpointed layer. The script's output
must have each line as often as without gradlens.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable
from typing import Any


class Silence:
    """Between ``begin`` and ``end``, a thread is silent while ``silent()`` is True in it. Other threads are heard.

    It covers ``sys.stdout``, ``sys.stderr``, ``logging`` and ``warnings.warn``; not what is written to other files.
    """

    def __init__(self, silent: Callable[[], bool]) -> None:
        """Keeps its argument.

        Args:
            silent: Says whether the calling thread is silent.
        """
        self._silent = silent
        self._placed: list[tuple[Any, str, Any, Any]] = []

    def begin(self) -> None:
        """Begins."""
        for name in ("stdout", "stderr"):
            if (stream := getattr(sys, name)) is not None:
                self._place(sys, name, stream, _Stream(stream, self._silent))
        self._place(logging.Logger, "handle", logging.Logger.handle, self._unless_silent(logging.Logger.handle))
        self._place(warnings, "warn", warnings.warn, self._warn_unless_silent(warnings.warn))

    def end(self) -> None:
        """Ends. What somebody else has put in place meanwhile stays."""
        while self._placed:
            owner, name, before, ours = self._placed.pop()
            if getattr(owner, name) is ours:
                setattr(owner, name, before)

    def _place(self, owner: Any, name: str, before: Any, ours: Any) -> None:
        setattr(owner, name, ours)
        self._placed.append((owner, name, before, ours))

    def _unless_silent(self, function: Callable[..., Any]) -> Callable[..., Any]:
        silent = self._silent

        def heard(*args: Any, **kwargs: Any) -> Any:
            return None if silent() else function(*args, **kwargs)

        return heard

    def _warn_unless_silent(self, function: Callable[..., Any]) -> Callable[..., Any]:
        silent = self._silent

        def heard(message: Any, category: Any = None, stacklevel: int = 1, source: Any = None, **more: Any) -> Any:
            # The warning is about the caller's line, not about this one.
            return None if silent() else function(message, category, stacklevel + 1, source, **more)

        return heard


class _Stream:
    """Stands for a stream, and drops what a silent thread writes."""

    def __init__(self, stream: Any, silent: Callable[[], bool]) -> None:
        self._stream, self._silent = stream, silent

    def write(self, text: str) -> Any:
        return len(text) if self._silent() else self._stream.write(text)

    def writelines(self, lines: Any) -> Any:
        return None if self._silent() else self._stream.writelines(lines)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
