"""PendingResult: the numbers of a measured step, while they are copied from the device to the host."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradlens.metrics.gram import marked
from gradlens.metrics.layer_parts import LayerParts

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """How the recorded vectors follow from the computed ones.

    W vectors are computed: some of the V recorded ones, and the total gradient as the last.

    Attributes:
        size: V, the number of recorded vectors.
        computed: [W - 1] position of each computed vector among the recorded ones, with ``rest`` and ``update``, without the
            total.
        difference: Position of the vector that is the total minus the others; None if there is no total.
        update: Position of the update, which is no part of the total; None if it is not measured.
        zero: Position of ``rest``, if nothing goes around the samples: then it is zero and was not computed. Otherwise None.
        rounding: Relative rounding of the least exact dtype that took part. Equal numbers may differ by a few roundings.
        scaled: Whether a gradient scaler has multiplied the loss. Then gradients may overflow, and the scaler may skip steps.
    """

    size: int
    computed: tuple[int, ...]
    difference: int | None
    update: int | None
    rounding: float = 0.0
    scaled: bool = False
    zero: int | None = None

    def expand(self, products: Floats) -> Floats:
        """Returns [L, V, V] inner products of the recorded vectors: NaN for absent vectors, inf for those not finite.

        Args:
            products: [L, W, W] inner products of the computed vectors.
        """
        if np.isfinite(products).all():
            return self._expanded(products)
        broken = ~np.isfinite(np.diagonal(products, axis1=1, axis2=2))  # [L, W]
        found = self._expanded(np.where(broken[:, :, None] | broken[:, None, :], 0.0, products))
        at = np.zeros((len(products), self.size), dtype=np.bool_)
        at[:, list(self.computed)] = broken[:, :-1]
        if self.difference is not None:
            counts = [p != self.update for p in self.computed]
            at[:, self.difference] = broken[:, [*counts, True]].any(1)
        return marked(found, ~np.isnan(np.diagonal(found, axis1=1, axis2=2)), at)

    def _expanded(self, products: Floats) -> Floats:
        weights, absent = _weights(self.size, self.computed, self.difference, self.update, self.zero)
        found: Floats = weights @ products @ weights.T
        if self.difference is not None:
            squares = found[:, self.difference, self.difference]
            np.maximum(squares, 0.0, out=squares)
        if absent:
            found[:, absent, :] = found[:, :, absent] = np.nan
        return found


@lru_cache(maxsize=64)
def _weights(
    size: int, computed: tuple[int, ...], difference: int | None, update: int | None, zero: int | None
) -> tuple[Floats, list[int]]:
    """Returns the recorded vectors as sums of the computed ones, [V, W], and the positions of the absent ones."""
    weights = np.zeros((size, len(computed) + 1))
    weights[list(computed), range(len(computed))] = 1.0
    if difference is not None:
        weights[difference] = [*(0.0 if p == update else -1.0 for p in computed), 1.0]
    there = {*computed, difference, zero}
    return weights, [position for position in range(size) if position not in there]


@dataclass(frozen=True)
class Result:
    """The numbers of one step on the host: a ``Measurement`` without step, time and epoch.

    Attributes:
        layers: [L, V, V] inner products: NaN for absent vectors, inf for those not finite.
        counts: [K] samples of each group.
        loss: [K] summed cross-entropy of each group.
        correct: [K] correct predictions in each group.
        residual: |g - sum_k g_k - rest| / |g| over the checked parameters. The difference (see ``StepMeter``) is not taken as a
            difference here: it has a pull-back of its own. NaN if nothing was checked.
        total_loss: The loss that was differentiated.
        disagreement: Largest relative difference between the engine's vectors and those of the masked engine; NaN if they
            were not compared.
        exponent: The vectors were divided by 2 ** exponent before their inner products were computed.
    """

    layers: Floats
    counts: Floats
    loss: Floats
    correct: Floats
    residual: float
    total_loss: float
    disagreement: float
    exponent: int


@dataclass(frozen=True)
class PendingResult:
    """The packed numbers of a step. Their copy to the host starts at once, and does not wait for the device.

    Attributes:
        plan: How the recorded vectors follow from the computed ones.
        parts: The parts of the layers.
        counts: [K] samples of each group.
        lengths: Number of entries of each part of ``packed``; 0 if it was not measured.
        packed: All other numbers in one tensor.
        copied: The event after the copy from a GPU; None on other devices.
    """

    plan: Plan
    parts: LayerParts
    counts: Floats
    lengths: tuple[int, ...]
    packed: Tensor
    copied: torch.cuda.Event | None = None

    @classmethod
    def start(
        cls,
        plan: Plan,
        parts: LayerParts,
        products: Tensor,
        scores: Tensor | None,
        loss: Tensor | None,
        disagreement: Tensor | None,
        counts: Floats,
        exponent: Tensor | None = None,
    ) -> Self:
        """Packs the numbers of a step and starts their copy to the host. What was not measured is None, and becomes NaN.

        Args:
            plan: How the recorded vectors follow from the computed ones.
            parts: The parts of the layers.
            products: [Q, W, W] inner products of the computed vectors in each part. If something is checked, the first vector is
                the difference as pulled back by itself, which is 0 for parameters that are not checked.
            scores: [2, K] summed loss and correct predictions of each group.
            loss: [] the loss that was differentiated.
            disagreement: [] largest relative difference between two engines.
            counts: [K] samples of each group, already on the host.
            exponent: [] exponent of the power of two by which the vectors were divided; None = 0.
        """
        numbers = (products, scores, loss, disagreement, exponent)
        there = [each.detach().to(products, non_blocking=True).reshape(-1) for each in numbers if each is not None]
        lengths = tuple(0 if each is None else each.numel() for each in numbers)
        packed = torch.cat(there)
        copied = None
        if packed.device.type == "cuda":
            pinned = torch.empty(packed.shape, dtype=packed.dtype, pin_memory=True)
            with torch.cuda.device(packed.device):
                packed = pinned.copy_(packed, non_blocking=True)
                copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
                copied.record()
        return cls(plan, parts, counts, lengths, packed, copied)

    def result(self) -> Result:
        """Unpacks the numbers. Waits for the device if the copy is not done yet."""
        if self.copied is not None:
            self.copied.synchronize()
        values = self.packed.cpu().numpy().astype(np.float64, copy=False)
        ends = accumulate(self.lengths)
        numbers = [values[end - length : end] for length, end in zip(self.lengths, ends, strict=True)]
        products, scores, loss, disagreement, exponent = numbers
        if not len(scores):
            scores = np.full(2 * len(self.counts), np.nan)
        width = len(self.plan.computed) + 1 + bool(self.parts.checked)
        found = products.reshape(-1, width, width)
        residual = math.nan
        if self.parts.checked:
            signs = [-1.0, *(0.0 if p == self.plan.update else -1.0 for p in self.plan.computed), 1.0]
            residual = self.parts.residual(found, np.array(signs))
            found = found[:, 1:, 1:]
        return Result(
            layers=self.plan.expand(self.parts.by_layer(found)),
            counts=self.counts,
            loss=scores[: len(self.counts)],
            correct=scores[len(self.counts) :],
            residual=residual,
            total_loss=_number(loss),
            disagreement=_number(disagreement),
            exponent=int(exponent[0]) if len(exponent) else 0,
        )


def _number(part: Floats) -> float:
    return float(part[0]) if len(part) else math.nan
