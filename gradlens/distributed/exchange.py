"""Exchanges class counts among the processes of one training, before their lenses are made."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch.distributed as dist
from numpy.typing import NDArray

from gradlens.distributed.wrappers import several

SampleCounts = NDArray[np.int64]


def shared_counts(counts: SampleCounts | None) -> tuple[SampleCounts | None, bool]:
    """Returns class counts of the whole training data, and whether they are sums over the processes.

    If all processes have the same counts, they read the same data set, and these are its counts. If the counts differ, each
    process reads a part of the data, and the counts are added up.

    Args:
        counts: [C] samples of each class in this process's data; None if it does not know.

    Returns:
        [C] counts, or None if a process does not know its own; and whether they were added up.

    Raises:
        gradlens.distributed.TeamError: Another process does not answer.
    """
    if not several():
        return counts, False
    from gradlens.distributed.team import Team

    told: list[Any] = [json.loads(text) for text in Team.tell(json.dumps(None if counts is None else counts.tolist()))]
    if counts is None or any(other is None for other in told):
        return None, False
    if all(other == told[0] for other in told):
        return counts, False
    return np.sum(np.array(told, dtype=np.int64), axis=0), True


def processes() -> int:
    """Returns how many processes train together; 1 if torch.distributed is not in use."""
    return dist.get_world_size() if several() else 1


def stay_away() -> None:
    """Tells the other processes that this one cannot be measured, so that they do not wait for it."""
    if several():
        from gradlens.distributed.team import Team

        Team.stay_away()
