"""Joining: notices that a process has run out of data inside of ``Join``, where it answers the collectives of the others."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from torch.distributed.algorithms.join import Join

KEY = "gradlens"
_listeners: list[tuple[Callable[[], None], Callable[[], None]]] = []


def listen(pause: Callable[[], None], resume: Callable[[], None]) -> Callable[[], None]:
    """Calls back around the end of each ``Join``; returns what ends that.

    Args:
        pause: Called when this process has no more data.
        resume: Called when none has.
    """
    _install()
    listener = (pause, resume)
    _listeners.append(listener)

    def forget() -> None:
        if listener in _listeners:
            _listeners.remove(listener)

    return forget


def _install() -> None:
    ordinary: Callable[..., Any] = Join.__exit__
    if hasattr(ordinary, KEY):
        return

    @functools.wraps(ordinary)
    def leave(self: Join, kind: Any, value: Any, trace: Any) -> Any:
        together = bool(getattr(self, "_enable", False)) and kind is None
        if together:
            for pause, _ in _listeners:
                pause()
        result = ordinary(self, kind, value, trace)
        if together:
            for _, resume in _listeners:
                resume()
        return result

    setattr(leave, KEY, True)
    Join.__exit__ = leave  # type: ignore[method-assign]
