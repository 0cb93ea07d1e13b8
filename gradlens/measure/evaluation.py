"""Evaluation: computes the inner products of a step's vectors, and the residual, which shows whether they are right."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gradlens.autograd.float_range import can_leave
from gradlens.autograd.grads import Grads
from gradlens.autograd.inner_products import Layout
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
        vectors.setdefault(positions.rest, [None] * len(self.params))
        if update is not None:
            vectors[positions.update] = update
        plan = Plan(
            size=positions.rest + 1 + (update is not None),
            computed=tuple(vectors),
            difference=step.difference,
            update=None if update is None else positions.update,
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
        nothing = torch.tensor(torch.nan)
        scores = torch.full((2, positions.groups), torch.nan) if sums.scores is None else sums.scores
        return PendingResult.start(
            plan,
            products,
            self._residual(step, total),
            scores,
            nothing if loss is None else loss,
            nothing if sums.disagreement is None else sums.disagreement,
            sums.counts,
            exponent,
        )

    def _residual(self, step: StepState, total: Grads) -> Tensor:
        """Returns |total - all vectors| / |total| over the checked parameters; NaN if nothing was checked.

        Here the difference vector (see ``StepMeter``) is not taken as a difference: it has a pull-back of its own.
        """
        if not step.checked or step.sums.check is None or step.difference is None:
            return torch.tensor(torch.nan)
        at = list(step.checked)
        parts = [[vector[i] for i in at] for vector in step.sums.vectors.values()]
        whole = [*parts, step.sums.check, [total[i] for i in at]]
        compared, _ = self._in_range(whole, whole)
        products = self._products(compared, at, [0] * len(at), 1)[0]
        signs = torch.tensor([-1.0] * (len(parts) + 1) + [1.0], dtype=products.dtype).to(
            products.device, non_blocking=True
        )
        # From inner products in float64: exact to about 1e-8 of the gradient, far below the rounding of float32.
        return (signs @ products @ signs).clamp(min=0).sqrt() / products[-1, -1].sqrt()

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
