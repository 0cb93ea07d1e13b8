"""Measurement: the result of one measured step, from which every quantity of that step is computed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradlens.metrics import gram as grams
from gradlens.metrics.catalogue import AgainstAll, Between, quantity_of
from gradlens.metrics.gram import REST, UPDATE, Floats, aggregate, group_selection
from gradlens.metrics.packed import ALL
from gradlens.shown import ShownInNotebooks


@dataclass(frozen=True)
class Measurement(ShownInNotebooks):
    """The result of one measured step.

    Attributes:
        step: Number of the optimizer step, from 0.
        time: Time of the step in Unix seconds.
        epoch: The epoch; None if it is not known.
        names: Names of the V vectors: groups (or "component/group"), then "rest", then "update" if it is measured.
        gram: [V, V] inner products over the whole model. Rows and columns of an absent vector are NaN. Those of a vector that was
            measured and is not finite are inf.
        layers: [L, V, V] the same for each layer, or None; float64 if float32 cannot hold them.
        counts: [K] samples of each group (class mass where labels are soft). Several micro-batches add up. A batch with several
            losses, each with its own backward pass, counts once.
        loss: [K] summed cross-entropy of the logits, whatever the training's loss is; NaN if the anchor has no logits. Where one
            batch has several losses, the logits are those of the first.
        correct: [K] how many samples have the largest of these logits at their label; NaN if the anchor has no logits.
        residual: |g - sum_k g_k - rest| / |g|, computed from pull-backs that are independent of each other.
        total_loss: The loss that was differentiated, summed over the step's backward passes.
        seconds: Wall time on the CPU that measuring added to the step, in seconds.
        exponent: The vectors of ``gram`` and ``layers`` are the gradients divided by 2 ** exponent. It is 0, except where float64
            cannot hold the squares (norms above 1e60 or below 1e-60). The methods return norms of the gradients themselves.

    Example:
        A linear model of zeros gives both classes the probability 1/2. The gradients of its samples have the same length, and
        those of different inputs are orthogonal. So two samples of the head weigh 2 ** 2 against 1.

        >>> import torch
        >>> from gradlens import ClassGroups, probe
        >>> model = torch.nn.Linear(2, 2, bias=False)
        >>> _ = torch.nn.init.zeros_(model.weight)
        >>> x, y = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0, 1])
        >>> found = probe(model, [(x, y)], ClassGroups({"head": [0], "tail": [1]}, 2))
        >>> found
        Measurement(step 0; samples: head 2, tail 1)
        >>> round(found.share("head"), 3), round(found.share("tail"), 3), round(found.conflict("head", "tail"), 3)
        (0.8, 0.2, 0.0)
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
        """Returns the step and the samples of each group; the arrays would fill a screen."""
        samples = [f"{name} {count:g}" for name, count in zip(self.groups, self.counts, strict=True)]
        shown = ", ".join([*samples[:6], *([f"... {len(samples) - 6} more"] if len(samples) > 6 else [])])
        return f"Measurement(step {self.step}; samples: {shown})"

    @property
    def groups(self) -> tuple[str, ...]:
        """The names of the groups, in their order, without those of loss components."""
        seen = dict.fromkeys(name.rpartition("/")[2] for name in self.names if name not in (REST, UPDATE))
        return tuple(seen)

    def quantity(self, name: str, *of: str) -> float:
        """Returns a quantity of ``gradlens.metrics.catalogue`` at this step, for example ``quantity("accuracy", "tail")``.

        Args:
            name: The name of the quantity.
            *of: A group, "rest" or "update"; two of them for a quantity of a pair; none for a quantity of the whole step.

        Raises:
            KeyError: There is no vector of this name.
            ValueError: There is no such quantity, it is not a number of one step, or it needs another number of vectors.
        """
        found = quantity_of(name)
        found.check(of)
        if found.needs and found.needs not in self.names:
            return float("nan")
        with np.errstate(invalid="ignore", divide="ignore"):
            value = float(found.function(_OneStep(self), *of))
        return float(np.ldexp(value, found.degree * self.exponent)) if found.degree else value

    def norm(self, name: str = "all", per: str = "contribution") -> float:
        """Returns the norm of a vector.

        Args:
            name: A group, "rest", "update", or "all" for the gradient.
            per: "contribution", or "mean" for the mean gradient of a group's samples: the contribution times batch / n_k.

        Raises:
            KeyError: There is no vector of this name.
            ValueError: ``per`` is neither "contribution" nor "mean".
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
        """Returns cos(g_a, g_b). Below 0 the two groups pull against each other."""
        return self.quantity("conflict", a, b)

    def benefit(self, group: str) -> float:
        """Returns by how much the optimizer's step lowers the mean loss of a group's samples, to first order.

        NaN if the update was not measured.
        """
        return self.quantity("benefit", group)

    def nonfinite(self, name: str = "all") -> bool:
        """Says whether a vector, or the gradient ("all"), was measured and is not finite.

        An absent vector has no norm either, but it is not such a vector.
        """
        if name == "all":
            return bool(np.isinf(self.gram[: len(self.names) - (UPDATE in self.names)]).any())
        return bool(np.isinf(_grouped(self)[_index(self, name), _index(self, name)]))


@dataclass(frozen=True)
class _OneStep:
    """Gives a measurement to the functions of the catalogue as ``Steps`` of a single step: each array is one number."""

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
        gram = _grouped(self.measurement)
        if vector == ALL and function is grams.own_norm:
            return grams.overall_norm(gram, contributing)
        return function(gram, _index(self.measurement, vector), contributing)

    def between(self, function: Between, a: str, b: str) -> Floats:
        return function(_grouped(self.measurement), _index(self.measurement, a), _index(self.measurement, b))

    def _of_group(self, values: Floats, group: str) -> Floats:
        if group not in self.measurement.groups:
            raise KeyError(f"no group {group!r}; this measurement has {', '.join(self.measurement.groups)}")
        return np.asarray(values[self.measurement.groups.index(group)])


def _grouped(measurement: Measurement) -> Floats:
    """Returns [W, W] the Gram of the groups, the rest and the update, whatever components the loss has."""
    if len(measurement.groups) + 1 + (UPDATE in measurement.names) == len(measurement.names):
        return measurement.gram
    return aggregate(measurement.gram, group_selection(measurement.names))


def _index(measurement: Measurement, name: str) -> int:
    """Returns the place of a group, "rest" or "update" in ``_grouped``.

    Raises:
        KeyError: No vector of that name.
    """
    known = [*measurement.groups, REST, *([UPDATE] if UPDATE in measurement.names else [])]
    if name not in known:
        raise KeyError(f"no vector {name!r}; this measurement has {', '.join(known)}")
    return known.index(name)
