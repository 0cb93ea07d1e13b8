"""PendingResult: the result of a measured step on its way from the device to the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradlens.metrics.gram import marked

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """How computed vectors become recorded ones. Computed are some recorded vectors and, last, the total gradient.

    Attributes:
        size: V, the number of recorded vectors.
        computed: Position among the recorded vectors of each computed one but the total; ``rest`` and ``update`` included.
        difference: Position of the vector that is the total less the others, or None where there is no total.
        update: Position of the update, which is no part of the total, or None.
        rounding: Relative rounding of the least exact dtype that took part; what agrees, agrees to within a few of it.
        scaled: Whether a gradient scaler has multiplied the loss, so that gradients may overflow and steps be skipped.
    """

    size: int
    computed: tuple[int, ...]
    difference: int | None
    update: int | None
    rounding: float = 0.0
    scaled: bool = False

    def expand(self, products: Floats) -> Floats:
        """Returns [L, V, V] inner products of the recorded vectors, NaN where absent and inf where not finite.

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
        found = np.full((len(products), self.size, self.size), np.nan)
        at = np.array(self.computed, dtype=np.intp)
        width = len(at)
        found[:, at[:, None], at[None, :]] = products[:, :width, :width]
        d = self.difference
        if d is not None:
            weights = np.array([0.0 if p == self.update else -1.0 for p in self.computed] + [1.0])
            used = weights != 0
            with_others = products[:, :, used] @ weights[used]  # [L, W]
            found[:, d, at] = found[:, at, d] = with_others[:, :width]
            found[:, d, d] = np.maximum(with_others[:, used] @ weights[used], 0.0)
        return found


@dataclass(frozen=True)
class Result:
    """What one step says, on the host: ``Measurement`` without step, time and epoch.

    Attributes:
        layers: [L, V, V] inner products, NaN where absent and inf where not finite.
        counts: [K].
        loss: [K] summed cross-entropy.
        correct: [K].
        residual: |g - sum_k g_k - rest| / |g|; NaN where it was not checked.
        total_loss: The loss on which backward ran.
        disagreement: Largest relative difference between the engine's vectors and the masked ones; NaN if not compared.
        exponent: Power of two by which the vectors were divided before they were multiplied.
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
    """A packed result; copying it to the host starts at once and does not wait for the device."""

    plan: Plan
    shape: tuple[int, int]
    counts: Floats
    packed: Tensor
    copied: torch.cuda.Event | None = None

    @classmethod
    def start(
        cls,
        plan: Plan,
        products: Tensor,
        residual: Tensor,
        scores: Tensor,
        loss: Tensor,
        disagreement: Tensor,
        counts: Floats,
        exponent: Tensor | None = None,
    ) -> Self:
        """Packs the numbers of a step and starts their way to the host.

        Args:
            plan: How computed vectors become recorded ones.
            products: [L, W, W].
            residual: [] relative residual.
            scores: [2, K] loss and correct.
            loss: [] total.
            disagreement: [].
            counts: [K], already on the host.
            exponent: [] power of two by which the vectors were divided; None = 0.
        """
        parts = [products, residual, scores, loss, disagreement, *([] if exponent is None else [exponent])]
        # What is made on the host (NaN for what was not measured) must not wait for the device.
        packed = torch.cat([part.detach().to(products, non_blocking=True).reshape(-1) for part in parts])
        copied = None
        if packed.device.type == "cuda":
            pinned = torch.empty(packed.shape, dtype=packed.dtype, pin_memory=True)
            with torch.cuda.device(packed.device):
                packed = pinned.copy_(packed, non_blocking=True)
                copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
                copied.record()
        return cls(plan, (products.shape[0], products.shape[1]), counts, packed, copied)

    def result(self) -> Result:
        """Unpacks the numbers; waits for the device only where nothing has waited for it since ``start``."""
        if self.copied is not None:
            self.copied.synchronize()
        values = self.packed.cpu().numpy().astype(np.float64)
        layers, width = self.shape
        groups = len(self.counts)
        sizes = [layers * width * width, 1, 2 * groups, 1, 1]
        products, residual, scores, loss, disagreement, exponent = np.split(values, np.cumsum(sizes))
        return Result(
            layers=self.plan.expand(products.reshape(layers, width, width)),
            counts=self.counts,
            loss=scores[:groups],
            correct=scores[groups:],
            residual=float(residual[0]),
            total_loss=float(loss[0]),
            disagreement=float(disagreement[0]),
            exponent=int(exponent[0]) if len(exponent) else 0,
        )
