"""Computes with packed Grams: the log keeps the upper triangle of each Gram as one row of P = V (V + 1) / 2 numbers.

A question is often about sums of recorded vectors, such as a group over all loss components. A 0/1 matrix S [W, V] says which
vectors each of the W sums has. One small matrix product then gives the Gram of the sums for millions of rows. Absent vectors
count as in ``gradlens.metrics.gram.aggregate``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gradlens.metrics.gram import REST, UPDATE, Floats, marked

ALL = "all"


def components(names: Sequence[str]) -> tuple[str, ...]:
    """Returns the loss components in the vector names "component/group", in order; () if the loss has no components."""
    return tuple(dict.fromkeys(name.rpartition("/")[0] for name in names if "/" in name))


def grouped(names: Sequence[str]) -> tuple[str, ...]:
    """Returns the names of the vectors once components are added up, in the order of ``gram.group_selection``."""
    return tuple(dict.fromkeys(name if name in (REST, UPDATE) else name.rpartition("/")[2] for name in names))


def known(names: Sequence[str], groups: Sequence[str]) -> tuple[str, ...]:
    """Returns every name that a user may ask for: groups, recorded vectors and whole loss components."""
    return tuple(dict.fromkeys((*groups, *names, *components(names))))


def selection(names: Sequence[str], name: str) -> Floats:
    """Returns [V] of 0 and 1: which recorded vectors add up to ``name``.

    Args:
        names: Names of the V recorded vectors.
        name: A vector, a group, a loss component, or "all" for the gradient.
    """
    if name == ALL:
        return np.array([float(n != UPDATE) for n in names])
    if (name in names and "/" in name) or name in (REST, UPDATE):
        return np.array([float(n == name) for n in names])
    group = np.array([float(n not in (REST, UPDATE) and n.rpartition("/")[2] == name) for n in names])
    return group if group.any() else np.array([float(n.rpartition("/")[0] == name and "/" in n) for n in names])


def selection_against_all(names: Sequence[str], name: str) -> tuple[Floats, int]:
    """Returns S [2, V] and how many of its first rows add up to the gradient. The second row is ``name``.

    The first row is the rest of the gradient; for "update", which is no part of the gradient, it is the whole gradient.
    """
    whole, one = selection(names, ALL), selection(names, name)
    if name == UPDATE:
        return np.stack([whole, one]), 1
    return np.stack([whole - one, one]), 2


@lru_cache(maxsize=64)
def triangle(V: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Returns rows and columns [P] of the upper triangle of a [V, V] matrix. They must not be changed."""
    rows, columns = np.triu_indices(V)
    rows.flags.writeable = columns.flags.writeable = False
    return rows, columns


def unpack(packed: NDArray[np.floating], V: int) -> Floats:
    """Returns the symmetric matrices [..., V, V] with the upper triangles [..., P]."""
    place = np.zeros((V, V), dtype=np.intp)
    rows, columns = triangle(V)
    place[rows, columns] = place[columns, rows] = np.arange(len(rows))
    return np.asarray(packed.astype(np.float64, copy=False)[..., place])


def product(a: Floats, b: Floats) -> Floats:
    """Returns weights [P]: a packed Gram row times these is the inner product of two sums of vectors.

    Args:
        a: [V] of 0 and 1, the vectors of the first sum.
        b: [V] of 0 and 1, the vectors of the second sum.
    """
    rows, columns = triangle(len(a))
    return np.asarray(a[rows] * b[columns] + np.where(rows == columns, 0.0, a[columns] * b[rows]))


def coarse(packed: NDArray[np.floating], S: Floats) -> Floats:
    """Returns the Gram [n, W, W] of the sums S [W, V], from packed rows [n, P].

    Rows and columns of a sum are NaN if all its vectors are absent. They are inf if one of them is not finite.
    """
    W, V = S.shape
    rows, columns = triangle(V)
    left, right = triangle(W)
    weights = S[left][:, rows] * S[right][:, columns]  # [W(W+1)/2, P]
    weights += np.where(rows == columns, 0.0, S[left][:, columns] * S[right][:, rows])
    used = np.flatnonzero(weights.any(0))
    values = packed[:, used].astype(np.float64, copy=False)
    sums = np.where(np.isfinite(values), values, 0.0) @ weights[:, used].T
    squares = packed[:, rows == columns]  # [n, V]
    kept, broken = (of @ S.T > 0 for of in (~np.isnan(squares), np.isinf(squares)))  # [n, W]
    return marked(unpack(sums, W), kept, broken)


def nonfinite_as_inf(
    packed: NDArray[np.floating], names: Sequence[str], groups: Sequence[str], counts: Floats
) -> NDArray[np.floating]:
    """Returns packed rows in which a group with samples is never absent.

    Earlier versions wrote a gradient that is not finite as NaN, like an absent one. If the group had samples, it was not
    absent, so its rows and columns become inf.

    Args:
        packed: [n, P].
        names: Names of the V vectors.
        groups: Names of the K groups.
        counts: [n, K] samples of each group.
    """
    rows, columns = triangle(len(names))
    silent = np.isnan(packed[:, rows == columns])  # [n, V]
    sampled = np.stack(
        [counts[:, groups.index(n)] > 0 if n in groups else np.zeros(len(counts), bool) for n in names], 1
    )
    broken = silent & sampled
    if not broken.any():
        return packed
    return np.where(broken[:, rows] | broken[:, columns], np.inf, packed).astype(packed.dtype)
