"""Curves: keeps computed arrays over the steps of a run, and computes only the new rows when the run grows."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Rows are computed in parts of about this size, so that a long run needs no more memory for temporary arrays.
CHUNK_BYTES = 16 << 20
MOST_BYTES = 256 << 20

Part = Callable[[int, int], NDArray[Any]]
Parts = Callable[[int, int], Sequence[NDArray[Any]]]


class Curves:
    """Computed arrays by key. If they need more than MOST_BYTES, those that were not used for the longest time are dropped."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, tuple[NDArray[Any] | None, int]] = OrderedDict()

    def get(self, key: Hashable, rows: int, part: Part, row_bytes: int) -> NDArray[Any]:
        """Returns the array [rows, ...] of a key, read-only.

        Args:
            key: Identifies the array.
            rows: Its length.
            part: Computes the rows from start to stop.
            row_bytes: Bytes that the computation of one row needs. The size of a part follows from it.
        """
        return self.together((key,), key, rows, lambda start, stop: (part(start, stop),), row_bytes)

    def together(
        self, keys: Sequence[Hashable], key: Hashable, rows: int, parts: Parts, row_bytes: int
    ) -> NDArray[Any]:
        """Returns one of several arrays that are computed together, because one read of the file gives all of them.

        Args:
            keys: Identify the arrays.
            key: Identifies the array that is returned.
            rows: Their length.
            parts: Computes the rows from start to stop of each array.
            row_bytes: See ``get``.
        """
        known = self._kept.get(key, (None, 0))[1]
        # Only arrays with as many rows as the wanted one are continued. The others are left as they are.
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
    """Returns an array with room for ``stop`` rows, and for an eighth more: so the array of a growing run is rarely copied."""
    if array is not None and len(array) >= stop:
        return array
    room = rows if array is None else rows + rows // 8 + 1024
    grown = np.empty((room, *values.shape[1:]), dtype=values.dtype)
    if array is not None:
        grown[:known] = array[:known]
    return grown
