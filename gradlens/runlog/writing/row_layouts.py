"""RowLayouts: chooses the layout of each measurement's row. Another layout begins another file."""

from __future__ import annotations

import numpy as np

from gradlens.metrics.measurement import Measurement
from gradlens.runlog.errors import RunError
from gradlens.runlog.format.schema import RowLayout


class RowLayouts:
    """The layouts of one start of a training. Each is made once.

    Attributes:
        layer_names: Names of the layers; () if the run names none.
    """

    def __init__(self, groups: tuple[str, ...], layer_names: tuple[str, ...], session: int) -> None:
        self.layer_names = layer_names
        self._groups = groups
        self._session = session
        self._made: dict[tuple[tuple[str, ...], int, bool], RowLayout] = {}
        self._last: RowLayout | None = None

    def rename_layers(self, layer_names: tuple[str, ...]) -> None:
        """Sets other names of layers, for the rows that follow."""
        if layer_names != self.layer_names:
            self.layer_names = layer_names
            self._made.clear()
            self._last = None

    def of(self, m: Measurement) -> RowLayout:
        """Returns the layout of a measurement's row.

        Raises:
            RunError: The measurement has another number of layers than the run names.
        """
        L = 0 if m.layers is None else len(m.layers)
        last = self._last
        wide = m.exponent != 0 or (m.layers is not None and m.layers.dtype == np.float64)
        fits = last is not None and (last.wide or not wide)
        if last is not None and fits and m.names == last.names and L in (0, len(last.layer_names)):
            return last
        L = L or len(self.layer_names)
        # After the first wide row, all rows are wide: each change of the layout would begin another file.
        key = (tuple(m.names), L, wide or (last is not None and last.wide))
        if key not in self._made:
            self._made[key] = RowLayout(key[0], self.names_of_layers(L), self._groups, self._session, key[2])
        self._last = self._made[key]
        return self._last

    def names_of_layers(self, L: int) -> tuple[str, ...]:
        """Returns the names of L layers; () for 0.

        Raises:
            RunError: The run names another number of layers.
        """
        if self.layer_names and L not in (0, len(self.layer_names)):
            raise RunError(
                f"{L} layers measured, but the run names {len(self.layer_names)}; correct RunMeta.layer_names"
            )
        return self.layer_names if self.layer_names and L else tuple(f"layer {i}" for i in range(L))
