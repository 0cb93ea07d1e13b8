"""Measurement: what one measured step says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradlens.metrics import gram as grams
from gradlens.metrics.catalogue import AgainstAll, Between, Unit, quantity_of
from gradlens.metrics.gram import REST, UPDATE, Floats, aggregate, group_selection
from gradlens.metrics.packed import ALL
from gradlens.shown import ShownInNotebooks


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

    def quantity(self, name: str, *of: str) -> float:
        """Returns any quantity of ``gradlens.metrics.catalogue`` at this step: ``quantity("accuracy", "tail")``.

        Args:
            name: The quantity's name.
            *of: One group, "rest" or "update", or two of them where it is of a pair, or none where it is of the whole step.

        Raises:
            KeyError: No such vector.
            ValueError: No such quantity, one that is no number of a step, or too many or few vectors for it.
        """
        found = quantity_of(name)
        found.check(of)
        with np.errstate(invalid="ignore", divide="ignore"):
            value = float(found.function(_OneStep(self), *of))
        return float(np.ldexp(value, self.exponent)) if found.unit is Unit.GRADIENT else value

    def norm(self, name: str = "all", per: str = "contribution") -> float:
        """Returns the norm of a group's contribution, or of its mean gradient (``per="mean"``: times batch / n_k).

        Raises:
            KeyError: No vector of that name.
            ValueError: Another ``per`` than "contribution" or "mean".
        """
        if per not in ("contribution", "mean"):
            raise ValueError(f"per={per!r}; choose 'contribution' or 'mean'")
        return self.quantity("mean_norm" if per == "mean" and name in self.groups else "norm", name)

    def cosine(self, name: str) -> float:
        """Returns cos(g_name, g)."""
        return self.quantity("cosine", name)

    def share(self, name: str) -> float:
        """Returns <g_name, g> / <g, g>."""
        return self.quantity("share", name)

    def conflict(self, a: str, b: str) -> float:
        """Returns cos(g_a, g_b); negative where the two groups pull against each other."""
        return self.quantity("conflict", a, b)

    def nonfinite(self, name: str = "all") -> bool:
        """Says whether a vector was measured and is not finite; one without a norm that is finite is absent."""
        if name == "all":
            return bool(np.isinf(self.gram[: len(self.names) - (UPDATE in self.names)]).any())
        return bool(np.isinf(self.grouped()[self.index(name), self.index(name)]))

    def grouped(self) -> Floats:
        """Returns [W, W] the Gram of the groups, the rest and the update, whatever components the loss has."""
        if len(self.groups) + 1 + (UPDATE in self.names) == len(self.names):
            return self.gram
        return aggregate(self.gram, group_selection(self.names))

    def index(self, name: str) -> int:
        """Returns the place of a group, "rest" or "update" in ``grouped``.

        Raises:
            KeyError: No vector of that name.
        """
        known = [*self.groups, REST, *([UPDATE] if UPDATE in self.names else [])]
        if name not in known:
            raise KeyError(f"no vector {name!r}; this measurement has {', '.join(known)}")
        return known.index(name)


@dataclass(frozen=True)
class _OneStep:
    """A measurement as the functions of the catalogue see it: arrays of one number each."""

    measurement: Measurement

    def samples(self, group: str) -> Floats:
        return self._of_group(self.measurement.counts, group)

    def batch(self) -> Floats:
        return np.asarray(self.measurement.counts.sum())

    def loss(self, group: str) -> Floats:
        return self._of_group(self.measurement.loss, group)

    def correct(self, group: str) -> Floats:
        return self._of_group(self.measurement.correct, group)

    def total_loss(self) -> Floats:
        return np.asarray(self.measurement.total_loss)

    def residual(self) -> Floats:
        return np.asarray(self.measurement.residual)

    def against_all(self, function: AgainstAll, vector: str) -> Floats:
        contributing = len(self.measurement.groups) + 1
        gram = self.measurement.grouped()
        if vector == ALL and function is grams.own_norm:
            return grams.overall_norm(gram, contributing)
        return function(gram, self.measurement.index(vector), contributing)

    def between(self, function: Between, a: str, b: str) -> Floats:
        return function(self.measurement.grouped(), self.measurement.index(a), self.measurement.index(b))

    def _of_group(self, values: Floats, group: str) -> Floats:
        if group not in self.measurement.groups:
            raise KeyError(f"no group {group!r}; this measurement has {', '.join(self.measurement.groups)}")
        return np.asarray(values[self.measurement.groups.index(group)])
