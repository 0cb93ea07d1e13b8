"""Computes whole series of quantities from packed Gram rows, for ``Run``.

The definitions are those of ``gradlens.metrics.gram``. A run of many steps is computed part by part.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradlens.metrics import gram as grams
from gradlens.metrics import packed as vectors
from gradlens.metrics.catalogue import AgainstAll, Between
from gradlens.metrics.gram import Floats

# Takes packed Gram rows [n, P] and the names of their V vectors; returns [n].
OfPacked = Callable[[NDArray[Any], tuple[str, ...]], Floats]

# A series: its function, with the name of the second vector if it is a function of two; and the name of the first vector.
CurveKind = AgainstAll | tuple[Between, str]
Key = tuple[CurveKind, str]
# With more groups than this, conflicts are computed only when somebody asks for them: there are too many pairs.
MOST_PAIRED = 4


def against_all(function: AgainstAll, name: str) -> OfPacked:
    """Turns a function of one vector and the gradient into a function of packed rows."""
    if function is grams.own_norm:
        return norm_of_packed(name)

    def value(packed: NDArray[Any], names: tuple[str, ...]) -> Floats:
        S, contributing = vectors.selection_against_all(names, name)
        return function(vectors.coarse(packed, S), 1, contributing)

    return value


def between(function: Between, a: str, b: str) -> OfPacked:
    """Turns a function of two vectors into a function of packed rows."""

    def value(packed: NDArray[Any], names: tuple[str, ...]) -> Floats:
        S = np.stack([vectors.selection(names, a), vectors.selection(names, b)])
        return function(vectors.coarse(packed, S), 0, 1)

    return value


def common(groups: tuple[str, ...]) -> list[Key]:
    """Returns the series that anybody who looks at a run needs: cosines, shares, norms, and conflicts of few groups."""
    found: list[Key] = [(grams.cosine, group) for group in groups]
    found += [(grams.share, name) for name in (*groups, grams.REST)]
    found += [(grams.own_norm, name) for name in (*groups, vectors.ALL)]
    if len(groups) <= MOST_PAIRED:
        found += [((grams.conflict, b), a) for a, b in combinations(groups, 2)]
    return found


def curves(packed: NDArray[Any], names: tuple[str, ...], keys: list[Key]) -> list[Floats]:
    """Returns the series [n] of ``common``. All together cost little more than one.

    Args:
        packed: [n, P] packed Gram rows.
        names: Names of the V recorded vectors.
        keys: Which series.
    """
    if not np.isfinite(packed).all():  # the fast way cannot tell absent from not finite
        return [_alone(*key)(packed, names) for key in keys]
    of = {name: vectors.selection(names, name) for _, name in (*keys, (grams.own_norm, vectors.ALL))}
    whole = of[vectors.ALL]
    pairs = [(a, kind[1]) for kind, a in keys if isinstance(kind, tuple)]
    weights = [vectors.product(one, one) for one in of.values()] + [vectors.product(one, whole) for one in of.values()]
    weights += [vectors.product(of[a], of[b]) for a, b in pairs]
    products = np.stack(weights) @ packed.astype(np.float64, copy=False).T  # [2 len(of) + pairs, n]
    dots = dict(zip(of, products[len(of) :], strict=False)) | dict(zip(pairs, products[2 * len(of) :], strict=True))
    with np.errstate(invalid="ignore", divide="ignore"):
        squared = np.maximum(products[: len(of)], 0.0)
        length = dict(zip(of, np.sqrt(squared), strict=True))
        overall = squared[list(of).index(vectors.ALL)]

        def value(kind: CurveKind, name: str) -> Floats:
            if not of[name].any():  # this segment does not have the group
                return np.full(len(packed), np.nan)
            if kind is grams.own_norm:
                return np.asarray(length[name])
            if kind is grams.share:
                return np.asarray(np.where(overall > 0, dots[name] / overall, np.nan))
            other, dot = (kind[1], dots[name, kind[1]]) if isinstance(kind, tuple) else (vectors.ALL, dots[name])
            scale = length[name] * length[other]
            return np.asarray(np.where(scale > 0, dot / scale, np.nan))

        return [value(*key) for key in keys]


def _alone(kind: CurveKind, name: str) -> OfPacked:
    return between(kind[0], name, kind[1]) if isinstance(kind, tuple) else against_all(kind, name)


def norm_of_packed(name: str) -> OfPacked:
    """Returns a function of packed rows: the norm of one vector, or of the gradient ("all")."""

    def value(packed: NDArray[Any], names: tuple[str, ...]) -> Floats:
        # Computed from this vector alone, so that an infinite entry of another vector does not matter.
        gram = vectors.coarse(packed, vectors.selection(names, name)[None])
        return grams.overall_norm(gram, 1) if name == vectors.ALL else grams.norm(gram, 0)

    return value


def nonfinite(name: str) -> OfPacked:
    """Returns a function of packed rows: 1 where a vector, or the gradient ("all"), was measured and is not finite, else 0."""

    def value(packed: NDArray[Any], names: tuple[str, ...]) -> Floats:
        gram = vectors.coarse(packed, vectors.selection(names, name)[None])
        return np.isinf(gram[:, 0, 0]).astype(np.float64)

    return value


def share_distance_of_packed(groups: tuple[str, ...], fractions: Floats) -> OfPacked:
    """Returns a function of packed rows: half the L1 distance between the groups' shares and ``fractions`` [K]."""

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
        return grams.share_distance(np.stack(dots, axis=-1) / np.where(whole > 0, whole, np.nan), fractions)

    return value
