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
        pause: Called when this process has no more data, and perhaps again.
        resume: Called when none has.
    """

    pause: Callable[[], None]
    resume: Callable[[], None]


def _noticing(ordinary: Callable[..., Any], listeners: Listeners[JoinListener]) -> Callable[..., Any]:
    @functools.wraps(ordinary)
    def number_without_end(self: Join) -> Any:
        for listener in listeners.all:
            listener.pause()
        number = ordinary(self)
        if number == 0:
            for listener in listeners.all:
                listener.resume()
        return number

    return number_without_end


# Asked again and again by a process that has run out of data. Not ``__exit__``, which Python looks up when a ``with`` block
# begins: a lens may be made inside of it.
JOIN = Patch(Join, "_get_num_nonjoined_procs", _noticing)
