"""The quantities that a Run gives, as functions of packed Gram rows; their definitions are those of ``gradlens.gram``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradlens import gram as grams
from gradlens.gram import Floats
from gradlens.runlog import vectors

# Packed Gram rows [n, P] and the names of their V vectors -> [n].
Quantity = Callable[[NDArray[Any], tuple[str, ...]], Floats]
# Gram rows [n, V, V], a vector's place, how many of the first vectors add up to the gradient -> [n].
AgainstAll = Callable[[Floats, int, int], Floats]

AGAINST_ALL: dict[str, AgainstAll] = {
    "cosine": grams.cosine,
    "share": grams.share,
    "norm": lambda gram, v, _: grams.norm(gram, v),
}


def against_all(kind: str, name: str) -> Quantity:
    """Returns the quantity "cosine", "share" or "norm" of one vector (not "all")."""

    def value(packed: NDArray[Any], names: tuple[str, ...]) -> Floats:
        S, contributing = vectors.against_all(names, name)
        return AGAINST_ALL[kind](vectors.coarse(packed, S), 1, contributing)

    return value


def norm(name: str) -> Quantity:
    """Returns the norm of one vector, or of the gradient ("all")."""

    def value(packed: NDArray[Any], names: tuple[str, ...]) -> Floats:
        # On its own, so that an infinite entry of another vector stays out of it.
        gram = vectors.coarse(packed, vectors.selection(names, name)[None])
        return grams.overall_norm(gram, 1) if name == vectors.ALL else grams.norm(gram, 0)

    return value


def conflict(a: str, b: str) -> Quantity:
    """Returns the cosine between two vectors."""

    def value(packed: NDArray[Any], names: tuple[str, ...]) -> Floats:
        S = np.stack([vectors.selection(names, a), vectors.selection(names, b)])
        return grams.conflict(vectors.coarse(packed, S), 0, 1)

    return value


def distortion(groups: tuple[str, ...], fractions: Floats) -> Quantity:
    """Returns half the L1 distance between the groups' shares and ``fractions`` [K]."""

    def value(packed: NDArray[Any], names: tuple[str, ...]) -> Floats:
        gram = vectors.unpack(packed, len(names))
        if vectors.components(names):
            gram, names = grams.aggregate(gram, grams.group_selection(names)), vectors.grouped(names)
        contributing = len(names) - (grams.UPDATE in names)
        dots = [
            grams.dot_overall(gram, names.index(k), contributing) if k in names else np.full(len(gram), np.nan)
            for k in groups
        ]
        whole = grams.overall_norm(gram, contributing)[:, None] ** 2
        return grams.distortion(np.stack(dots, axis=-1) / np.where(whole > 0, whole, np.nan), fractions)

    return value
