"""Computes norms, cosines and shares from Gram arrays. All functions here are pure.

Indices in this module: v and w count the V recorded vectors, k the K groups, t time. A Gram array has shape [..., V, V], with
A[v, w] = <g_v, g_w>. The first ``contributing`` vectors (all except ``update``) add up to the gradient g.

An absent vector has rows and columns of NaN. A vector that was measured and is not finite has rows and columns of inf. Neither
has a norm, a cosine or a share: these are NaN. But an absent vector adds nothing to the gradient, while with a vector that is
not finite the gradient is not finite either.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

REST = "rest"
UPDATE = "update"


def group_selection(names: Sequence[str]) -> Floats:
    """Returns the 0/1 matrix [W, V] that adds up "component/group" vectors to groups. Rest and update stay as they are."""
    targets = dict.fromkeys(name if name in (REST, UPDATE) else name.rpartition("/")[2] for name in names)
    columns = [name if name in (REST, UPDATE) else name.rpartition("/")[2] for name in names]
    return np.array([[float(column == target) for column in columns] for target in targets])


def aggregate(gram: ArrayLike, selection: ArrayLike) -> Floats:
    """Returns the Gram [..., W, W] of sums of vectors.

    An absent vector adds nothing to a sum. A sum is absent if all its vectors are absent. It is not finite if one of them is
    not finite.

    Args:
        gram: [..., V, V].
        selection: [W, V] of 0 and 1: each row says which vectors a sum has.
    """
    A, S = np.asarray(gram, dtype=np.float64), np.asarray(selection, dtype=np.float64)
    squares = np.diagonal(A, axis1=-2, axis2=-1)  # [..., V]
    finite = np.isfinite(squares)
    coarse = S @ np.where(finite[..., :, None] & finite[..., None, :], A, 0.0) @ S.T
    kept, broken = ((of[..., None, :] & (S > 0)).any(-1) for of in (~np.isnan(squares), np.isinf(squares)))  # [..., W]
    return marked(coarse, np.asarray(kept), np.asarray(broken))


def marked(gram: Floats, kept: NDArray[np.bool_], broken: NDArray[np.bool_]) -> Floats:
    """Returns a Gram with rows and columns of inf for vectors that are not finite, and of NaN for absent vectors.

    Args:
        gram: [..., V, V].
        kept: [..., V] False for an absent vector.
        broken: [..., V] True for a vector that was measured and is not finite.
    """
    infinite = np.where(broken[..., :, None] | broken[..., None, :], np.inf, gram)
    return np.asarray(np.where(kept[..., :, None] & kept[..., None, :], infinite, np.nan))


def norm(gram: ArrayLike, v: int) -> Floats:
    """Returns |g_v| = sqrt(A[v, v]), shape [...]; NaN if g_v is absent or not finite."""
    return _finite(np.sqrt(np.asarray(gram, dtype=np.float64)[..., v, v]))


def own_norm(gram: ArrayLike, v: int, contributing: int) -> Floats:  # noqa: ARG001
    """Returns ``norm``. It takes the same arguments as ``cosine`` and ``share``; ``contributing`` is not used."""
    return norm(gram, v)


def overall_norm(gram: ArrayLike, contributing: int) -> Floats:
    """Returns |g| = sqrt(sum_vw A[v, w]) over the contributing vectors, shape [...].

    Absent vectors add nothing. The result is NaN if all are absent, or if one is not finite.
    """
    block = np.asarray(gram, dtype=np.float64)[..., :contributing, :contributing]
    # Where terms cancel, rounding may make the sum slightly negative.
    return _finite(np.sqrt(np.maximum(_sum_present(block, (-2, -1)), 0.0)))


def dot_overall(gram: ArrayLike, v: int, contributing: int) -> Floats:
    """Returns <g_v, g>, shape [...]; NaN if g_v is absent, or if g_v or g is not finite."""
    A = np.asarray(gram, dtype=np.float64)
    return _finite(np.where(np.isnan(A[..., v, v]), np.nan, _sum_present(A[..., v, :contributing], -1)))


def cosine(gram: ArrayLike, v: int, contributing: int) -> Floats:
    """Returns cos(g_v, g), shape [...] (paper, Figure 1 a, b). NaN if g_v is absent, or a norm is zero or not finite."""
    return _divide(dot_overall(gram, v, contributing), norm(gram, v) * overall_norm(gram, contributing))


def dot(gram: ArrayLike, v: int, w: int) -> Floats:
    """Returns <g_v, g_w>, shape [...]; NaN if one of them is absent or not finite."""
    return _finite(np.asarray(gram, dtype=np.float64)[..., v, w])


def conflict(gram: ArrayLike, v: int, w: int) -> Floats:
    """Returns cos(g_v, g_w), shape [...]. Below 0 the two vectors pull against each other. NaN as for ``cosine``."""
    A = np.asarray(gram, dtype=np.float64)
    return _divide(A[..., v, w], norm(A, v) * norm(A, w))


def share(gram: ArrayLike, v: int, contributing: int) -> Floats:
    """Returns <g_v, g> / <g, g>, shape [...]. The shares of all contributing vectors add up to 1.

    NaN if g_v is absent or not finite, or if |g| is zero or not finite.
    """
    return _divide(dot_overall(gram, v, contributing), overall_norm(gram, contributing) ** 2)


def share_distance(shares: ArrayLike, class_fractions: ArrayLike) -> Floats:
    """Returns half the L1 distance between group shares [..., K] and class fractions [K], shape [...].

    0 means that each group steers the update in proportion to its number of classes. An absent group counts with share 0,
    because it did not steer this step. The result is NaN if all groups are absent.

    Noisy shares make the distance too large; ``gradlens.estimation.noisy_distance`` corrects that.
    """
    s = np.asarray(shares, dtype=np.float64)
    absent = np.isnan(s)
    distance = 0.5 * np.abs(np.where(absent, 0.0, s) - np.asarray(class_fractions, dtype=np.float64)).sum(-1)
    return np.asarray(np.where(absent.all(-1), np.nan, distance))


def coefficient_of_variation(values: ArrayLike, window: int | None = None) -> Floats:
    """Returns the standard deviation divided by the mean. NaN values are left out.

    Args:
        values: [T].
        window: None: one number for all values. Otherwise [T] numbers, each for the last ``window`` values.

    Raises:
        ValueError: The window is below 2.
    """
    x = np.asarray(values, dtype=np.float64)
    if window is None:
        present = x[~np.isnan(x)]
        return np.asarray(present.std() / present.mean() if len(present) > 1 else np.nan)
    if window < 2:
        raise ValueError(f"window={window}; a variation needs at least 2 values")
    seen = (~np.isnan(x)).astype(np.float64)
    centre = np.nanmean(x) if seen.any() else 0.0  # running sums of centred values lose fewer digits
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
    """Returns the sum over ``axis`` without the absent (NaN) values; NaN if all are absent."""
    absent = np.isnan(values)
    return np.asarray(np.where(absent.all(axis), np.nan, np.where(absent, 0.0, values).sum(axis)))


def _divide(numerator: Floats, denominator: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(denominator > 0, numerator / denominator, np.nan))
