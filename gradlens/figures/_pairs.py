"""Pairs of classes whose gradients go against each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gradlens.figures._class_matrix import frequency_order

if TYPE_CHECKING:
    from gradlens.runlog import Probe


@dataclass(frozen=True)
class ClassPair:
    """Two classes (or groups).

    Attributes:
        a: The more frequent one.
        b: The other.
        samples: Samples of each.
        cosine: Between their gradients.
    """

    a: str
    b: str
    samples: tuple[float, float]
    cosine: float


def conflicting_pairs(probe: Probe, most: int = 10) -> list[ClassPair]:
    """Returns the pairs with the lowest cosine, lowest first; pairs without samples are left out."""
    names, cosine = frequency_order(probe)
    counts = dict(zip(probe.groups.names, probe.counts, strict=True))
    first, second = np.triu_indices(len(names), k=1)
    values = cosine[first, second]
    order = np.argsort(np.where(np.isfinite(values), values, np.inf), kind="stable")[:most]
    chosen = [(names[first[i]], names[second[i]], float(values[i])) for i in order if np.isfinite(values[i])]
    return [ClassPair(a, b, (float(counts[a]), float(counts[b])), value) for a, b, value in chosen]
