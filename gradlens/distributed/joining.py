"""Joining: notices when a process has no more data inside ``torch.distributed.algorithms.join.Join``.

Such a process only answers the collectives of the others until they have no more data either.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch.distributed.algorithms.join import Join

from gradlens.guards.patches import Listeners, Patch


@dataclass(frozen=True)
class JoinListener:
    """Functions that stop gradlens' own messages while this process only answers, and start them again.

    Attributes:
        pause: Is called when this process has no more data; it may be called several times.
        resume: Is called when no process has more data.
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


# A process without data calls this function again and again. ``__exit__`` is no good place: Python looks it up when the
# ``with`` block begins, and a lens may be made inside the block.
JOIN = Patch(Join, "_get_num_nonjoined_procs", _noticing)
