"""From packed Gram rows to the Gram of the vectors that a question is about.

S is a 0/1 matrix [W, V]: each of its rows is a vector of the question as a sum of recorded ones. Working on the packed triangle
costs one small matrix product for millions of rows; absence follows ``gradlens.metrics.gram.aggregate``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gradlens.metrics.gram import REST, UPDATE, Floats, marked

ALL = "all"


def components(names: Sequence[str]) -> tuple[str, ...]:
    """Returns the loss components among vector names "component/group", in order; () where the loss is not split."""
    return tuple(dict.fromkeys(name.rpartition("/")[0] for name in names if "/" in name))


def grouped(names: Sequence[str]) -> tuple[str, ...]:
    """Returns the vectors that are left when components are summed, in the order of ``gradlens.metrics.gram.group_selection``."""
    return tuple(dict.fromkeys(name if name in (REST, UPDATE) else name.rpartition("/")[2] for name in names))


def known(names: Sequence[str], groups: Sequence[str]) -> tuple[str, ...]:
    """Returns every name that can be asked for: groups, recorded vectors, whole loss components."""
    return tuple(dict.fromkeys((*groups, *names, *components(names))))


def selection(names: Sequence[str], name: str) -> Floats:
    """Returns [V] the recorded vectors that make up ``name``: a vector, a group, a component, or "all" (the gradient)."""
    if name == ALL:
        return np.array([float(n != UPDATE) for n in names])
    if (name in names and "/" in name) or name in (REST, UPDATE):
        return np.array([float(n == name) for n in names])
    group = np.array([float(n not in (REST, UPDATE) and n.rpartition("/")[2] == name) for n in names])
    return group if group.any() else np.array([float(n.rpartition("/")[0] == name and "/" in n) for n in names])


def against_all(names: Sequence[str], name: str) -> tuple[Floats, int]:
    """Returns S [2, V] whose second row is ``name``, and how many of its first rows add up to the gradient."""
    whole, one = selection(names, ALL), selection(names, name)
    if name == UPDATE:
        return np.stack([whole, one]), 1
    return np.stack([whole - one, one]), 2


def unpack(packed: NDArray[np.floating], V: int) -> Floats:
    """Returns [..., V, V] symmetric matrices from their upper triangles [..., P]."""
    place = np.zeros((V, V), dtype=np.intp)
    rows, columns = np.triu_indices(V)
    place[rows, columns] = place[columns, rows] = np.arange(len(rows))
    return np.asarray(packed.astype(np.float64, copy=False)[..., place])


def product(a: Floats, b: Floats) -> Floats:
    """Returns [P] the weights that turn packed Gram rows into the inner products of the sums a [V] and b [V] of vectors."""
    rows, columns = np.triu_indices(len(a))
    return np.asarray(a[rows] * b[columns] + np.where(rows == columns, 0.0, a[columns] * b[rows]))


def coarse(packed: NDArray[np.floating], S: Floats) -> Floats:
    """Returns [n, W, W] the Gram of the vectors S [W, V] from packed rows [n, P].

    A vector none of whose terms is there is NaN; one with a term that is not finite is inf.
    """
    W, V = S.shape
    rows, columns = np.triu_indices(V)
    left, right = np.triu_indices(W)
    weights = S[left][:, rows] * S[right][:, columns]  # [W(W+1)/2, P]
    weights += np.where(rows == columns, 0.0, S[left][:, columns] * S[right][:, rows])
    used = np.flatnonzero(weights.any(0))
    values = packed[:, used].astype(np.float64, copy=False)
    sums = np.where(np.isfinite(values), values, 0.0) @ weights[:, used].T
    squares = packed[:, rows == columns]  # [n, V]
    kept, broken = (of @ S.T > 0 for of in (~np.isnan(squares), np.isinf(squares)))  # [n, W]
    return marked(unpack(sums, W), kept, broken)


def told_apart(
    packed: NDArray[np.floating], names: Sequence[str], groups: Sequence[str], counts: Floats
) -> NDArray[np.floating]:
    """Returns packed rows in which groups with samples are never absent.

    Earlier versions wrote a gradient of NaN as absent. Such a group had samples, so its gradient was not finite.

    Args:
        packed: [n, P].
        names: The V vectors.
        groups: K groups.
        counts: [n, K] samples.
    """
    rows, columns = np.triu_indices(len(names))
    silent = np.isnan(packed[:, rows == columns])  # [n, V]
    sampled = np.stack(
        [counts[:, groups.index(n)] > 0 if n in groups else np.zeros(len(counts), bool) for n in names], 1
    )
    broken = silent & sampled
    if not broken.any():
        return packed
    return np.where(broken[:, rows] | broken[:, columns], np.inf, packed).astype(packed.dtype)
