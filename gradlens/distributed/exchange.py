"""Facts that the processes of one training tell each other before there is a team: class counts."""

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

    Processes that read the same data set all know its counts; ones with a part each know that part's.

    Args:
        counts: [C] of this process, or None where it does not know.

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
    """Returns how many processes train together; 1 without torch.distributed."""
    return dist.get_world_size() if several() else 1


def stay_away() -> None:
    """Tells the other processes not to wait for this one, which cannot be measured."""
    if several():
        from gradlens.distributed.team import Team

        Team.stay_away()
