"""Joining: notices that a process has run out of data inside of ``Join``, where it answers the collectives of the others."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch.distributed.algorithms.join import Join

from gradlens.guards.patches import Listeners, Patch


@dataclass(frozen=True)
class JoinListener:
    """Somebody who must not send anything while this process only answers.

    Attributes:
        pause: Called when this process has no more data.
        resume: Called when none has.
    """

    pause: Callable[[], None]
    resume: Callable[[], None]


def _noticing(ordinary: Callable[..., Any], listeners: Listeners[JoinListener]) -> Callable[..., Any]:
    @functools.wraps(ordinary)
    def leave(self: Join, kind: Any, value: Any, trace: Any) -> Any:
        together = listeners.all if bool(getattr(self, "_enable", False)) and kind is None else ()
        for listener in together:
            listener.pause()
        result = ordinary(self, kind, value, trace)
        for listener in together:
            listener.resume()
        return result

    return leave


JOIN = Patch(Join, "__exit__", _noticing)
