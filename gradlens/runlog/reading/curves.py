"""Curves over the steps of a run, kept and prolonged as the run grows."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Rows computed at a time: temporaries stay in the megabytes, whatever the length of the run.
CHUNK_BYTES = 16 << 20
MOST_BYTES = 256 << 20

Part = Callable[[int, int], NDArray[Any]]
Parts = Callable[[int, int], Sequence[NDArray[Any]]]


class Curves:
    """Computed arrays by key. Asking again costs only what was added since; the least recently asked go when memory is short."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, tuple[NDArray[Any] | None, int]] = OrderedDict()

    def get(self, key: Hashable, rows: int, part: Part, row_bytes: int) -> NDArray[Any]:
        """Returns the array [rows, ...] of a key, read-only.

        Args:
            key: What the array is.
            rows: Its length.
            part: Computes rows start to stop.
            row_bytes: Bytes that computing one row takes, from which the size of a part follows.
        """
        return self.together((key,), key, rows, lambda start, stop: (part(start, stop),), row_bytes)

    def together(
        self, keys: Sequence[Hashable], key: Hashable, rows: int, parts: Parts, row_bytes: int
    ) -> NDArray[Any]:
        """Returns the array of one of several keys that one reading gives all at once.

        Args:
            keys: What the arrays are.
            key: The one that is returned.
            rows: Their length.
            parts: Computes rows start to stop of each.
            row_bytes: As for ``get``.
        """
        known = self._kept.get(key, (None, 0))[1]
        # Companions that have gone, or know other rows, are left as they are; what is asked for counts.
        alike = [place for place, one in enumerate(keys) if one == key or self._kept.get(one, (None, 0))[1] == known]
        arrays: dict[int, NDArray[Any]] = {}
        for place in alike:
            before = self._kept.pop(keys[place], (None, 0))[0]
            if before is not None:
                arrays[place] = before
        step = max(CHUNK_BYTES // max(row_bytes, 1), 64)
        for start in range(known, rows, step):
            stop = min(start + step, rows)
            values = parts(start, stop)
            for place in alike:
                arrays[place] = _room(arrays.get(place), known, stop, rows, values[place])
                arrays[place][start:stop] = values[place]
            known = stop
        asked = keys.index(key)
        if asked not in arrays:
            return parts(0, 0)[asked]
        for place in (*(place for place in alike if place != asked), asked):
            self._kept[keys[place]] = (arrays[place], known)
        while (
            sum(kept.nbytes for kept, _ in self._kept.values() if kept is not None) > MOST_BYTES and len(self._kept) > 1
        ):
            self._kept.popitem(last=False)
        view = arrays[asked][:rows]
        view.flags.writeable = False
        return view


def _room(array: NDArray[Any] | None, known: int, stop: int, rows: int, values: NDArray[Any]) -> NDArray[Any]:
    """Returns an array with room for ``stop`` rows, and an eighth more, so that a growing run is copied a few times only."""
    if array is not None and len(array) >= stop:
        return array
    room = rows if array is None else rows + rows // 8 + 1024
    grown = np.empty((room, *values.shape[1:]), dtype=values.dtype)
    if array is not None:
        grown[:known] = array[:known]
    return grown
