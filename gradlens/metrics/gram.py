"""Measurement, and the quantities people look at as pure functions of Gram arrays.

Index notation, fixed for this module: v, w run over the V recorded vectors, k over the K groups, t over time. A Gram array has
shape [..., V, V] with A[v, w] = <g_v, g_w>. NaN rows and columns belong to absent vectors; rows and columns of inf to vectors
that were measured and are not finite. Of either there is no norm, cosine or share (NaN), but an absent vector adds nothing to
the gradient, and one that is not finite leaves no gradient. The first ``contributing`` vectors (all but ``update``) add up to the
gradient g.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradlens.shown import ShownInNotebooks

Floats = NDArray[np.float64]

REST = "rest"
UPDATE = "update"


@dataclass(frozen=True)
class Measurement(ShownInNotebooks):
    """What one measured step says.

    Attributes:
        step: Optimizer step, from 0.
        time: Unix seconds.
        epoch: Epoch, where known.
        names: The V vectors: group names (or "component/group"), then "rest", then "update" where it is measured.
        gram: [V, V] inner products over the whole model; NaN rows and columns = absent, inf = measured and not finite.
        layers: [L, V, V] the same layer by layer, or None; in float64 where float32 cannot hold them.
        counts: [K] samples of each group (class mass where labels are soft). Those of several micro-batches add up; a batch
            whose losses are differentiated one by one, in several backward passes, counts once.
        loss: [K] summed cross-entropy of the logits, whatever the loss is (of several losses of one batch, the logits of the
            first); NaN where the anchor has no logits.
        correct: [K] samples whose largest of these logits is the label's; NaN where the anchor has no logits.
        residual: |g - sum_k g_k - rest| / |g|, from pull-backs that are independent of each other.
        total_loss: The loss on which backward ran, summed over the step's backward passes.
        seconds: Wall time that measuring added to the step, as seen from the host.
        exponent: The vectors of ``gram`` and ``layers`` are the gradients divided by 2 ** exponent: 0, but where float64 cannot
            hold their squares (norms beyond 1e60 or below 1e-60). Norms are those of the gradients.
    """

    step: int
    time: float
    epoch: int | None
    names: tuple[str, ...]
    gram: Floats
    layers: NDArray[np.floating] | None
    counts: Floats
    loss: Floats
    correct: Floats
    residual: float
    total_loss: float
    seconds: float
    exponent: int = 0

    def __repr__(self) -> str:
        """Says which step it is and how the samples spread; the arrays would fill a screen."""
        samples = [f"{name} {count:g}" for name, count in zip(self.groups, self.counts, strict=True)]
        shown = ", ".join([*samples[:6], *([f"... {len(samples) - 6} more"] if len(samples) > 6 else [])])
        return f"Measurement(step {self.step}; samples: {shown})"

    @property
    def groups(self) -> tuple[str, ...]:
        """The group names, in order, without loss components."""
        seen = dict.fromkeys(name.rpartition("/")[2] for name in self.names if name not in (REST, UPDATE))
        return tuple(seen)

    def norm(self, name: str = "all", per: str = "contribution") -> float:
        """Returns the norm of a group's contribution, or of its mean gradient (``per="mean"``: times batch / n_k).

        Raises:
            KeyError: No vector of that name.
            ValueError: Another ``per`` than "contribution" or "mean".
        """
        if per not in ("contribution", "mean"):
            raise ValueError(f"per={per!r}; choose 'contribution' or 'mean'")
        if name == "all":
            return float(np.ldexp(overall_norm(self._grouped(), len(self.groups) + 1), self.exponent))
        value = float(np.ldexp(norm(self._grouped(), self._index(name)), self.exponent))
        if per == "mean" and name in self.groups:
            count = self.counts[self.groups.index(name)]
            return value * float(self.counts.sum() / count) if count else float("nan")
        return value

    def cosine(self, name: str) -> float:
        """Returns cos(g_name, g)."""
        return float(cosine(self._grouped(), self._index(name), len(self.groups) + 1))

    def share(self, name: str) -> float:
        """Returns <g_name, g> / <g, g>."""
        return float(share(self._grouped(), self._index(name), len(self.groups) + 1))

    def conflict(self, a: str, b: str) -> float:
        """Returns cos(g_a, g_b); negative where the two groups pull against each other."""
        return float(conflict(self._grouped(), self._index(a), self._index(b)))

    def nonfinite(self, name: str = "all") -> bool:
        """Says whether a vector was measured and is not finite; one without a norm that is finite is absent."""
        if name == "all":
            return bool(np.isinf(self.gram[: len(self.names) - (UPDATE in self.names)]).any())
        return bool(np.isinf(self._grouped()[self._index(name), self._index(name)]))

    def _grouped(self) -> Floats:
        if len(self.groups) + 1 + (UPDATE in self.names) == len(self.names):
            return self.gram
        return aggregate(self.gram, group_selection(self.names))

    def _index(self, name: str) -> int:
        known = [*self.groups, REST, *([UPDATE] if UPDATE in self.names else [])]
        if name not in known:
            raise KeyError(f"no vector {name!r}; this measurement has {', '.join(known)}")
        return known.index(name)


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


def mean_norm(gram: ArrayLike, v: int, batch: ArrayLike, count: ArrayLike) -> Floats:
    """Returns the norm in the mean convention, |g_v| * batch / n_v: the size of the group's own mean gradient.

    Right for losses averaged over the batch, where the contribution carries the factor n_v / batch. NaN where n_v = 0.
    """
    n = np.asarray(count, dtype=np.float64)
    return norm(gram, v) * np.asarray(batch, dtype=np.float64) / np.where(n > 0, n, np.nan)


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
