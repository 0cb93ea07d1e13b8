"""Series: reads arrays over a run's rows in force. They are stored columns, or computed from the Gram matrices in parts."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradlens.metrics import packed as vectors
from gradlens.metrics.gram import Floats
from gradlens.metrics.series import Key, OfPacked, curves
from gradlens.runlog.format.schema import NO_EPOCH
from gradlens.runlog.reading.curves import Curves
from gradlens.runlog.reading.files import RunFiles
from gradlens.runlog.reading.segment import Segment

PER_GROUP = ("counts", "loss", "correct")


class Series:
    """Reads arrays from a run's files, and keeps those that were asked for."""

    def __init__(self, files: RunFiles, groups: int) -> None:
        self._files = files
        self._groups = groups
        self._curves = Curves()

    def column(self, name: str, rows: int) -> NDArray[Any]:
        """Returns a stored column: [rows], or [rows, K]."""

        def part(segment: Segment, low: int, high: int) -> NDArray[Any]:
            if name == "exponent" and not (segment.layout and segment.layout.wide):
                return np.zeros(high - low, dtype=np.int64)
            values = segment.read(name, low, high)
            return np.where(values == NO_EPOCH, np.nan, values.astype(np.float64)) if name == "epoch" else values

        shape = (self._groups,) if name in PER_GROUP else ()
        dtype = np.int64 if name in ("step", "exponent") else np.float64
        return self._curves.get(
            name,
            rows,
            lambda start, stop: self._gather(start, stop, part, shape, dtype),
            8 * math.prod(shape),
        )

    def curve(self, key: Hashable, layer: str | None, function: OfPacked, vectors_recorded: int, rows: int) -> Floats:
        """Returns [rows] a quantity of the Gram matrices of the whole model or of one layer; NaN if there is no number.

        Args:
            key: Identifies the quantity, which is computed once for each key.
            layer: A layer's name, or None for the whole model.
            function: Computes the quantity.
            vectors_recorded: V. The size of a part follows from it.
            rows: Number of rows, from the first.
        """

        def part(segment: Segment, low: int, high: int) -> Floats:
            packed = _packed(segment, low, high, layer)
            with np.errstate(invalid="ignore", over="ignore"):  # a diverged training has such rows
                return np.full(high - low, np.nan) if packed is None else function(packed, _names(segment))

        return self._curves.get(
            (key, layer),
            rows,
            lambda start, stop: self._gather(start, stop, part, ()),
            16 * vectors_recorded * (vectors_recorded + 1),
        )

    def common(self, key: Key, keys: list[Key], layer: str | None, vectors_recorded: int, rows: int) -> Floats:
        """Returns [rows] one of several quantities that are computed and kept together.

        Args:
            key: Identifies the quantity that is returned.
            keys: Identify all of them.
            layer: A layer's name, or None for the whole model.
            vectors_recorded: V. The size of a part follows from it.
            rows: Number of rows, from the first.
        """

        def parts(start: int, stop: int) -> list[Floats]:
            found = [np.empty(stop - start) for _ in keys]
            for kept in self._files.rows_in_force:
                low, high = max(start, kept.first), min(stop, kept.first + kept.rows)
                if low >= high:
                    continue
                packed = _packed(kept.segment, low - kept.first, high - kept.first, layer)
                with np.errstate(invalid="ignore", over="ignore"):
                    values = (
                        [np.full(high - low, np.nan)] * len(keys)
                        if packed is None
                        else curves(packed, _names(kept.segment), keys)
                    )
                for array, part in zip(found, values, strict=True):
                    array[low - start : high - start] = part
            return found

        row_bytes = 16 * vectors_recorded * (vectors_recorded + 1) + 24 * len(keys)
        return self._curves.together([(one, layer) for one in keys], (key, layer), rows, parts, row_bytes)

    def gram(self, names: tuple[str, ...], layer: str | None, start: int, stop: int) -> Floats:
        """Returns [stop - start, V, V] the Gram matrices of the vectors ``names``."""

        def part(segment: Segment, low: int, high: int) -> Floats:
            out = np.full((high - low, len(names), len(names)), np.nan)
            places = np.array([names.index(name) for name in _names(segment)])
            packed = _packed(segment, low, high, layer)
            if packed is not None:
                out[:, places[:, None], places] = vectors.unpack(packed, len(places))
            return out

        return self._gather(start, stop, part, (len(names), len(names)))

    def by_layer(self, function: OfPacked, layers: tuple[str, ...], rows: NDArray[np.intp]) -> Floats:
        """Returns [n, L] a quantity of the Gram matrix of every layer, at the ascending ``rows``."""
        out = np.full((len(rows), len(layers)), np.nan)
        for kept in self._files.rows_in_force:
            layout = kept.segment.layout
            low, high = np.searchsorted(rows, (kept.first, kept.first + kept.rows))
            if layout is None or not layout.layer_names or low == high:
                continue
            at = rows[low:high] - kept.first
            packed = kept.segment.take("layers", at).reshape(-1, layout.pairs)  # [n * L, P]
            if not layout.nonfinite_as_inf and np.isnan(packed).any():
                counts = np.repeat(kept.segment.take("counts", at), len(layout.layer_names), axis=0)
                packed = vectors.nonfinite_as_inf(packed, layout.names, layout.groups, counts)
            with np.errstate(invalid="ignore", over="ignore"):
                values = function(packed, layout.names).reshape(high - low, -1)
            out[low:high, [layers.index(layer) for layer in layout.layer_names]] = values
        return out

    def _gather(
        self,
        start: int,
        stop: int,
        part: Callable[[Segment, int, int], NDArray[Any]],
        shape: tuple[int, ...],
        dtype: Any = np.float64,
    ) -> NDArray[Any]:
        out = np.empty((max(stop - start, 0), *shape), dtype=dtype)
        for kept in self._files.rows_in_force:
            low, high = max(start, kept.first), min(stop, kept.first + kept.rows)
            if low < high:
                out[low - start : high - start] = part(kept.segment, low - kept.first, high - kept.first)
        return out


def _names(segment: Segment) -> tuple[str, ...]:
    return segment.layout.names if segment.layout else ()


def _packed(segment: Segment, low: int, high: int, layer: str | None) -> NDArray[Any] | None:
    layout = segment.layout
    if layout is None or (layer is not None and layer not in layout.layer_names):
        return None
    if layer is None:
        packed = segment.read("gram", low, high)
    else:
        packed = segment.read("layers", low, high, layout.layer_names.index(layer))
    if layout.nonfinite_as_inf or not np.isnan(packed).any():
        return packed
    return vectors.nonfinite_as_inf(packed, layout.names, layout.groups, segment.read("counts", low, high))
