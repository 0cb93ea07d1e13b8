"""Norms, cosines and shares as pure functions of Gram arrays.

Index notation, fixed for this module: v, w run over the V recorded vectors, k over the K groups, t over time. A Gram array has
shape [..., V, V] with A[v, w] = <g_v, g_w>. NaN rows and columns belong to absent vectors; rows and columns of inf to vectors
that were measured and are not finite. Of either there is no norm, cosine or share (NaN), but an absent vector adds nothing to
the gradient, and one that is not finite leaves no gradient. The first ``contributing`` vectors (all but ``update``) add up to the
gradient g.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

REST = "rest"
UPDATE = "update"


def group_selection(names: Sequence[str]) -> Floats:
    """Returns [W, V] the 0/1 matrix that sums "component/group" vectors into groups; rest and update stay themselves."""
    targets = dict.fromkeys(name if name in (REST, UPDATE) else name.rpartition("/")[2] for name in names)
    columns = [name if name in (REST, UPDATE) else name.rpartition("/")[2] for name in names]
    return np.array([[float(column == target) for column in columns] for target in targets])


def aggregate(gram: ArrayLike, selection: ArrayLike) -> Floats:
    """Returns [..., W, W] the Gram of coarser vectors, each the sum of those that ``selection`` [W, V] (0/1) marks.

    An absent (NaN) vector is a missing term of the sum; a coarse vector all of whose terms are absent is absent. One with a term
    that is not finite is not finite.
    """
    A, S = np.asarray(gram, dtype=np.float64), np.asarray(selection, dtype=np.float64)
    squares = np.diagonal(A, axis1=-2, axis2=-1)  # [..., V]
    finite = np.isfinite(squares)
    coarse = S @ np.where(finite[..., :, None] & finite[..., None, :], A, 0.0) @ S.T
    kept, broken = ((of[..., None, :] & (S > 0)).any(-1) for of in (~np.isnan(squares), np.isinf(squares)))  # [..., W]
    return marked(coarse, np.asarray(kept), np.asarray(broken))


def marked(gram: Floats, kept: NDArray[np.bool_], broken: NDArray[np.bool_]) -> Floats:
    """Returns a Gram whose vectors that are not finite have rows and columns of inf, and those that are absent of NaN.

    Args:
        gram: [..., V, V].
        kept: [..., V] False = absent.
        broken: [..., V] True = measured and not finite.
    """
    infinite = np.where(broken[..., :, None] | broken[..., None, :], np.inf, gram)
    return np.asarray(np.where(kept[..., :, None] & kept[..., None, :], infinite, np.nan))


def norm(gram: ArrayLike, v: int) -> Floats:
    """Returns |g_v| = sqrt(A[v, v]), shape [...]; NaN where g_v is absent or not finite."""
    return _finite(np.sqrt(np.asarray(gram, dtype=np.float64)[..., v, v]))


def own_norm(gram: ArrayLike, v: int, contributing: int) -> Floats:  # noqa: ARG001
    """Returns ``norm``, called as ``cosine`` and ``share`` are."""
    return norm(gram, v)


def overall_norm(gram: ArrayLike, contributing: int) -> Floats:
    """Returns |g| = sqrt(sum_vw A[v, w]) over the contributing vectors, shape [...]; absent ones add nothing.

    NaN where one of them is not finite.
    """
    block = np.asarray(gram, dtype=np.float64)[..., :contributing, :contributing]
    # Rounding can leave a sum of cancelling terms a hair below zero.
    return _finite(np.sqrt(np.maximum(_sum_present(block, (-2, -1)), 0.0)))


def dot_overall(gram: ArrayLike, v: int, contributing: int) -> Floats:
    """Returns <g_v, g>, shape [...]; NaN where g_v is absent, or it or g is not finite."""
    A = np.asarray(gram, dtype=np.float64)
    return _finite(np.where(np.isnan(A[..., v, v]), np.nan, _sum_present(A[..., v, :contributing], -1)))


def cosine(gram: ArrayLike, v: int, contributing: int) -> Floats:
    """Returns cos(g_v, g), shape [...]; NaN where g_v is absent or a norm is zero (paper, Figure 1 a, b)."""
    return _divide(dot_overall(gram, v, contributing), norm(gram, v) * overall_norm(gram, contributing))


def conflict(gram: ArrayLike, v: int, w: int) -> Floats:
    """Returns cos(g_v, g_w), shape [...]; negative where the two pull against each other."""
    A = np.asarray(gram, dtype=np.float64)
    return _divide(A[..., v, w], norm(A, v) * norm(A, w))


def share(gram: ArrayLike, v: int, contributing: int) -> Floats:
    """Returns <g_v, g> / <g, g>, shape [...]; the shares of all contributing vectors add up to 1."""
    return _divide(dot_overall(gram, v, contributing), overall_norm(gram, contributing) ** 2)


def share_distance(shares: ArrayLike, class_fractions: ArrayLike) -> Floats:
    """Returns half the L1 distance between group shares [..., K] and class fractions [K], shape [...].

    Of noisy shares it is too large: ``gradlens.estimation.noisy_distance`` takes the noise off.

    0 = every group steers the update in proportion to its classes. An absent group has share 0: it did not steer this step.
    """
    s = np.asarray(shares, dtype=np.float64)
    absent = np.isnan(s)
    distance = 0.5 * np.abs(np.where(absent, 0.0, s) - np.asarray(class_fractions, dtype=np.float64)).sum(-1)
    return np.asarray(np.where(absent.all(-1), np.nan, distance))


def coefficient_of_variation(values: ArrayLike, window: int | None = None) -> Floats:
    """Returns std / mean of [T] values, over all of them or over a trailing ``window`` (then [T]); NaN are left out.

    Raises:
        ValueError: A window below 2.
    """
    x = np.asarray(values, dtype=np.float64)
    if window is None:
        present = x[~np.isnan(x)]
        return np.asarray(present.std() / present.mean() if len(present) > 1 else np.nan)
    if window < 2:
        raise ValueError(f"window={window}; a variation needs at least 2 values")
    seen = (~np.isnan(x)).astype(np.float64)
    centre = np.nanmean(x) if seen.any() else 0.0  # shifting by a constant keeps the running sums from cancelling
    shifted = np.where(seen > 0, x - centre, 0.0)
    n, first, second = (_trailing_sum(a, window) for a in (seen, shifted, shifted**2))
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = first / n
        deviation = np.sqrt(np.maximum(second / n - mean**2, 0.0))
        return np.asarray(np.where(n > 1, deviation / (mean + centre), np.nan))


def _trailing_sum(x: Floats, window: int) -> Floats:
    total = np.concatenate([[0.0], np.cumsum(x)])
    stop = np.arange(1, len(x) + 1)
    return np.asarray(total[stop] - total[np.maximum(stop - window, 0)])


def _finite(values: Floats) -> Floats:
    return np.asarray(np.where(np.isinf(values), np.nan, values))


def _sum_present(values: Floats, axis: int | tuple[int, ...]) -> Floats:
    """Sums over ``axis`` without the absent; NaN where all are absent."""
    absent = np.isnan(values)
    return np.asarray(np.where(absent.all(axis), np.nan, np.where(absent, 0.0, values).sum(axis)))


def _divide(numerator: Floats, denominator: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(denominator > 0, numerator / denominator, np.nan))
