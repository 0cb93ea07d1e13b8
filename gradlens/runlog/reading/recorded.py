"""Recorded: the rows of a run at one moment, and the quantities that are computed from them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradlens.groups import ClassGroups
from gradlens.metrics import packed as vectors
from gradlens.metrics import series as curves
from gradlens.metrics.catalogue import quantity_of
from gradlens.metrics.gram import REST, UPDATE, Floats
from gradlens.metrics.series import CurveKind, OfPacked
from gradlens.runlog.format.schema import RowLayout
from gradlens.runlog.reading.files import RunFiles
from gradlens.runlog.reading.series import Series
from gradlens.runlog.reading.steps import RecordedSteps

# The usual curves are computed together, with one read of the Gram matrices, if they need at most this many bytes.
MOST_TOGETHER = 144 << 20


@dataclass(frozen=True)
class Recorded:
    """The first T rows of a run. The caller must hold the run's lock, so that the files do not change meanwhile.

    Attributes:
        path: The run's folder, for messages.
        files: The run's files.
        series: Reads arrays from the files, and keeps them.
        groups: The run's groups.
        rows: T, the number of rows.
    """

    path: Path
    files: RunFiles
    series: Series
    groups: ClassGroups
    rows: int

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all V vectors of the run: groups or "component/group", then "rest", then "update" if measured."""
        found = dict.fromkeys(n for layout in self._layouts() for n in layout.names)
        names = tuple(found) or self.files.meta.names or (*self.groups.names, REST)
        last = [name for name in (REST, UPDATE) if name in names]
        return (*(name for name in names if name not in last), *last)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of all L layers of the run; () if layers are not logged."""
        return tuple(dict.fromkeys(n for layout in self._layouts() for n in layout.layer_names))

    def column(self, name: str) -> NDArray[Any]:
        """Returns a column by its name in the files: [T], or [T, K]."""
        return self.series.column(name, self.rows)

    def gram(self, layer: str | None, rows: slice) -> Floats:
        """Returns [n, V, V] inner products of the vectors ``names`` at some rows; see ``Run.gram``."""
        self._check_layer(layer)
        start, stop, _ = rows.indices(self.rows)
        return self._unscaled(self.series.gram(self.names, layer, start, stop), slice(start, stop), power=2)

    def quantity(self, name: str, of: tuple[str, ...], layer: str | None) -> Floats:
        """Returns [T] a quantity of the catalogue; see ``Run.quantity``."""
        found = quantity_of(name)
        found.check(of)
        if found.needs and found.needs not in self.names:
            for vector in of:
                self._check_name(vector)
            return np.full(self.rows, np.nan)
        steps = RecordedSteps(self.groups.names, self.column, partial(self._curve, layer=layer))
        with np.errstate(invalid="ignore", divide="ignore"):
            values = np.asarray(found.function(steps, *of))
        return self._unscaled(values, slice(len(values)), found.degree) if found.degree else values

    def by_layer(self, name: str, vector: str, rows: NDArray[np.intp]) -> Floats:
        """Returns [n, L] a quantity of one vector in every layer; see ``Run.by_layer``."""
        found = quantity_of(name)
        found.check((vector,))
        if found.needs and found.needs not in self.names:
            return np.full((len(rows), len(self.layers)), np.nan)

        def in_layers(_: CurveKind, vector: str, value: OfPacked) -> Floats:
            self._check_name(vector)
            return self.series.by_layer(value, self.layers, rows)

        steps = RecordedSteps(self.groups.names, lambda column: self.column(column)[rows][:, None], in_layers)
        with np.errstate(invalid="ignore", divide="ignore"):
            values = np.broadcast_to(found.function(steps, vector), (len(rows), len(self.layers)))
        return self._unscaled(values, rows, found.degree) if found.degree else values

    def nonfinite(self, name: str, layer: str | None) -> NDArray[np.bool_]:
        """Returns [T] whether a vector was measured and is not finite."""
        return np.asarray(self._curve("nonfinite", name, curves.nonfinite(name), layer) == 1)

    def share_distance(self, layer: str | None) -> Floats:
        """Returns [T] half the L1 distance between a step's shares and the groups' fractions of the classes."""
        value = curves.share_distance_of_packed(self.groups.names, self.groups.fractions())
        return self._curve("share_distance", vectors.ALL, value, layer)

    def _curve(self, kind: CurveKind | str, name: str, value: OfPacked, layer: str | None) -> Floats:
        self._check_name(name)
        if isinstance(kind, tuple):
            self._check_name(kind[1])
        self._check_layer(layer)
        V, keys = len(self.names), curves.common(self.groups.names)
        if not isinstance(kind, str) and (kind, name) in keys and 8 * len(keys) * self.rows <= MOST_TOGETHER:
            return self.series.common((kind, name), keys, layer, V, self.rows)
        return self.series.curve((kind, name), layer, value, V, self.rows)

    def _unscaled(self, values: Floats, rows: slice | NDArray[np.intp], power: int = 1) -> Floats:
        """Returns [n, ...] values for the true gradients. They were computed from gradients divided by a power of two.

        Args:
            values: [n, ...] values.
            rows: The rows that they belong to.
            power: 1 for values in units of the gradient, 2 for inner products.
        """
        if not any(layout.wide for layout in self._layouts()):
            return values
        exponents = self.column("exponent")[rows]
        with np.errstate(over="ignore", under="ignore"):
            return np.asarray(np.ldexp(values, power * exponents.reshape(-1, *(1,) * (values.ndim - 1))))

    def _layouts(self) -> list[RowLayout]:
        return [kept.segment.layout for kept in self.files.rows_in_force if kept.segment.layout]

    def _check_name(self, name: str) -> None:
        known = (vectors.ALL, *vectors.known(self.names, self.groups.names))
        if name not in known:
            raise KeyError(f"no vector {name!r} in the run {self.path}; it has {', '.join(known)}")

    def _check_layer(self, layer: str | None) -> None:
        if layer is not None and layer not in self.layers:
            has = f"it has {', '.join(self.layers)}" if self.layers else "it logged no layers (track with --layers)"
            raise KeyError(f"no layer {layer!r} in the run {self.path}; {has}")
