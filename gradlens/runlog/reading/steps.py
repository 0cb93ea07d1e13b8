"""RecordedSteps: gives the measured steps of a run to the functions of the catalogue of quantities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradlens.metrics import series
from gradlens.metrics.catalogue import AgainstAll, Between
from gradlens.metrics.gram import Floats
from gradlens.metrics.series import CurveKind, OfPacked


@dataclass(frozen=True)
class RecordedSteps:
    """The measured steps of a run. It implements ``gradlens.metrics.catalogue.MeasuredSteps``.

    For a quantity in every layer, arrays are [n, 1] or [n, L] instead of [T].

    Attributes:
        groups: Names of the K groups.
        column: Returns a stored column by its name: [T], or [T, K] for the groups.
        curve: Is given the kind of a function of the Gram matrices, a vector's name, and the function. Returns its values.
    """

    groups: tuple[str, ...]
    column: Callable[[str], NDArray[Any]]
    curve: Callable[[CurveKind, str, OfPacked], Floats]

    def samples(self, group: str) -> Floats:
        """Returns [T] the number of samples of a group."""
        return self._of_group("counts", group)

    def batch(self) -> Floats:
        """Returns [T] the number of samples of all groups."""
        return np.asarray(self.column("counts").sum(-1))

    def loss(self, group: str) -> Floats:
        """Returns [T] the summed loss of a group's samples."""
        return self._of_group("loss", group)

    def correct(self, group: str) -> Floats:
        """Returns [T] the number of a group's samples that were classified correctly."""
        return self._of_group("correct", group)

    def total_loss(self) -> Floats:
        """Returns [T] the loss that was differentiated."""
        return self.column("total_loss")

    def residual(self) -> Floats:
        """Returns [T] |g - sum_k g_k - rest| / |g|."""
        return self.column("residual")

    def against_all(self, function: AgainstAll, vector: str) -> Floats:
        """Returns [T] a function of one vector and the gradient."""
        return self.curve(function, vector, series.against_all(function, vector))

    def between(self, function: Between, a: str, b: str) -> Floats:
        """Returns [T] a function of two vectors."""
        return self.curve((function, b), a, series.between(function, a, b))

    def _of_group(self, name: str, group: str) -> Floats:
        if group not in self.groups:
            raise KeyError(f"no group {group!r}; the run has {', '.join(self.groups)}")
        return np.asarray(self.column(name)[..., self.groups.index(group)])
