"""Evaluation: computes the inner products of a step's vectors, and the residual, which shows whether they are right."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gradlens.autograd.float_range import can_leave
from gradlens.autograd.grads import Grads
from gradlens.autograd.inner_products import Layout, side_by_side, width_of
from gradlens.measure.pending_result import PendingResult, Plan
from gradlens.measure.processes import TrainingProcesses
from gradlens.measure.step_state import StepState


class Evaluation:
    """Computes the numbers of a step from its vectors over the trainable parameters.

    Attributes:
        params: P trainable parameters.
    """

    def __init__(self, layout: Layout, processes: TrainingProcesses) -> None:
        """Keeps the trainable parameters.

        Args:
            layout: The parameters by layer.
            processes: The processes that hold the vectors.
        """
        trainable = layout.trainable()
        self.params: list[nn.Parameter] = [layout.params[i] for i in trainable]
        self._layer_of = [layout.layer_of[i] for i in trainable]
        self._layers = len(layout.layers)
        self._leaves_range = can_leave(self.params)
        self._processes = processes

    def products(self, vectors: Sequence[Grads], at: Sequence[int]) -> Tensor:
        """Returns [W, W] inner products over some parameters.

        If vectors are huge or tiny, all are divided by one power of two first. Only ratios of the products are of use then.

        Args:
            vectors: W vectors over the parameters ``at``.
            at: Indices of those parameters.
        """
        scaled, _ = self._in_range(vectors, vectors)
        return self._products(scaled, at, [0] * len(at), 1)[0]

    def result(self, step: StepState, total: Grads, update: Grads | None) -> PendingResult:
        """Returns the result of a step.

        Args:
            step: The step.
            total: [P] gradient of all its passes.
            update: [P] what the optimizer subtracted from the parameters, or None.
        """
        sums, positions = step.sums, step.positions
        vectors = dict(sums.vectors)
        if update is not None:
            vectors[positions.update] = update
        plan = Plan(
            size=positions.rest + 1 + (update is not None),
            computed=tuple(vectors),
            difference=step.difference,
            update=None if update is None else positions.update,
            zero=None if positions.rest in vectors else positions.rest,
            rounding=step.rounding,
            scaled=step.scale is not None,
        )
        sized = [vector for position, vector in vectors.items() if position != plan.update]
        computed, exponent = self._in_range([*vectors.values(), total], [*sized, total])
        products = self._products(computed, range(len(self.params)), self._layer_of, self._layers)
        loss = sums.loss
        if step.scale is not None:
            scale = step.scale.to(products)
            factors = torch.stack(
                [*(1 / scale if p != plan.update else torch.ones_like(scale) for p in vectors), 1 / scale]
            )
            products = products * factors * factors[:, None]
            loss = None if loss is None else loss / step.scale.to(loss)
        return PendingResult.start(
            plan,
            products,
            self._residual(step, total),
            sums.scores,
            loss,
            sums.disagreement,
            sums.counts,
            exponent,
        )

    def _residual(self, step: StepState, total: Grads) -> Tensor | None:
        """Returns |total - all vectors| / |total| over the checked parameters; None if nothing was checked.

        Here the difference vector (see ``StepMeter``) is not taken as a difference: it has a pull-back of its own. The result is
        NaN if a vector is not finite.
        """
        if not step.checked or step.sums.check is None or step.difference is None:
            return None
        at = list(step.checked)
        parts = [[vector[i] for i in at] for vector in step.sums.vectors.values()]
        whole = [[total[i] for i in at], *parts, step.sums.check]
        if self._leaves_range or self._processes.shards or len({self.params[i].device for i in at}) > 1:
            compared, _ = self._in_range(whole, whole)
            products = self._products(compared, at, [0] * len(at), 1)[0]
            signs = torch.full_like(products[0], -1.0)
            signs[:1] = 1.0
            # From inner products in float64: exact to about 1e-8 of the gradient, far below the rounding of float32.
            return (signs @ products @ signs).clamp(min=0).sqrt() / products[0, 0].sqrt()
        with torch.no_grad():
            widths = [(number, width_of(self.params[i])) for number, i in enumerate(at)]
            rows = side_by_side(whole, [self.params[i] for i in at], widths, torch.float64)
            sizes = torch.linalg.vector_norm(torch.stack([rows[0] - rows[1:].sum(0), rows[0]]), dim=1)
            gap, size = sizes.unbind()
            return torch.where(gap.isfinite(), gap / size, torch.nan)

    def _products(self, vectors: Sequence[Grads], at: Sequence[int], layer_of: Sequence[int], layers: int) -> Tensor:
        return self._processes.inner_products(vectors, [self.params[i] for i in at], layer_of, layers)

    def _in_range(self, vectors: Sequence[Grads], sized: Sequence[Grads]) -> tuple[Sequence[Grads], Tensor | None]:
        """Divides vectors by a power of two, so that the squares of those in ``sized`` fit the range of their dtype.

        Returns:
            The vectors, and the exponent of the power of two (None = 0).
        """
        return (
            self._processes.in_range(vectors, self.params[0].device, sized) if self._leaves_range else (vectors, None)
        )
