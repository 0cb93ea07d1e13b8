"""The measured steps of a run, or those of its layers, as the functions of the catalogue see them."""

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
    """What a run has recorded; implements ``gradlens.metrics.catalogue.MeasuredSteps``.

    Attributes:
        groups: Names of the K groups.
        column: Returns a stored column by its name: [T], or [T, K] of the groups.
        curve: Computes, or has kept, a function of the Gram: of which kind, of which vector, and how it is computed.
    """

    groups: tuple[str, ...]
    column: Callable[[str], NDArray[Any]]
    curve: Callable[[CurveKind, str, OfPacked], Floats]

    def samples(self, group: str) -> Floats:
        """Returns the samples of a group."""
        return self._of_group("counts", group)

    def batch(self) -> Floats:
        """Returns the samples of all groups."""
        return np.asarray(self.column("counts").sum(-1))

    def loss(self, group: str) -> Floats:
        """Returns the summed loss of a group's samples."""
        return self._of_group("loss", group)

    def correct(self, group: str) -> Floats:
        """Returns how many of a group's samples were classified correctly."""
        return self._of_group("correct", group)

    def total_loss(self) -> Floats:
        """Returns the loss on which backward ran."""
        return self.column("total_loss")

    def residual(self) -> Floats:
        """Returns |g - sum_k g_k - rest| / |g|."""
        return self.column("residual")

    def against_all(self, function: AgainstAll, vector: str) -> Floats:
        """Returns a function of one vector and the gradient."""
        return self.curve(function, vector, series.against_all(function, vector))

    def between(self, function: Between, a: str, b: str) -> Floats:
        """Returns a function of two vectors."""
        return self.curve((function, b), a, series.between(function, a, b))

    def _of_group(self, name: str, group: str) -> Floats:
        if group not in self.groups:
            raise KeyError(f"no group {group!r}; the run has {', '.join(self.groups)}")
        return np.asarray(self.column(name)[..., self.groups.index(group)])
