"""Curves over the steps of a run, kept and prolonged as the run grows."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Rows computed at a time: temporaries stay in the megabytes, whatever the length of the run.
CHUNK_BYTES = 16 << 20
MOST_BYTES = 256 << 20

Part = Callable[[int, int], NDArray[Any]]


class Curves:
    """Computed arrays by key. Asking again costs only what was added since; the least recently asked go when memory is short."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, tuple[NDArray[Any], int]] = OrderedDict()

    def get(self, key: Hashable, rows: int, part: Part, row_bytes: int) -> NDArray[Any]:
        """Returns the array [rows, ...] of a key, read-only.

        Args:
            key: What the array is.
            rows: Its length.
            part: Computes rows start to stop.
            row_bytes: Bytes that computing one row takes, from which the size of a part follows.
        """
        array, known = self._kept.pop(key, (None, 0))
        step = max(CHUNK_BYTES // max(row_bytes, 1), 64)
        for start in range(known, rows, step):
            stop = min(start + step, rows)
            values = part(start, stop)
            if array is None or len(array) < stop:
                # Twice what is needed, so that a run which grows row by row is copied a few times only.
                grown = np.empty((rows if array is None else 2 * rows, *values.shape[1:]), dtype=values.dtype)
                if array is not None:
                    grown[:known] = array[:known]
                array = grown
            array[start:stop] = values
            known = stop
        if array is None:
            return part(0, 0)
        self._kept[key] = (array, known)
        while sum(kept.nbytes for kept, _ in self._kept.values()) > MOST_BYTES and len(self._kept) > 1:
            self._kept.popitem(last=False)
        view = array[:rows]
        view.flags.writeable = False
        return view
