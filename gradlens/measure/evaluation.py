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
from gradlens.metrics.layer_parts import layer_parts


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
        checks = bool(step.checked) and sums.check is not None and step.difference is not None
        plan = Plan(
            size=positions.rest + 1 + (update is not None),
            computed=tuple(vectors),
            difference=step.difference,
            update=None if update is None else positions.update,
            zero=None if positions.rest in vectors else positions.rest,
            rounding=step.rounding,
            scaled=step.scale is not None,
        )
        checked = tuple(step.checked or ()) if checks else ()
        parts = layer_parts(tuple(self._layer_of), self._layers, tuple(step.near), checked)
        whole = [*vectors.values(), total]
        sized = [vector for position, vector in vectors.items() if position != plan.update]
        if checks:
            whole.insert(0, self._check(step))
            sized.append(whole[0])
        computed, exponent = self._in_range(whole, [*sized, total])
        products = self._products(computed, range(len(self.params)), parts.part_of, len(parts.layers))
        loss = sums.loss
        if step.scale is not None:
            scale = step.scale.to(products)
            factors = [1 / scale if p != plan.update else torch.ones_like(scale) for p in vectors]
            each = torch.stack([*([1 / scale] if checks else []), *factors, 1 / scale])
            products = products * each * each[:, None]
            loss = None if loss is None else loss / step.scale.to(loss)
        return PendingResult.start(plan, parts, products, sums.scores, loss, sums.disagreement, sums.counts, exponent)

    def _check(self, step: StepState) -> Grads:
        """Returns [P] the difference (see ``StepMeter``) as pulled back by itself; None for parameters that are not checked."""
        assert step.checked is not None
        assert step.sums.check is not None
        found: Grads = [None] * len(self.params)
        for index, gradient in zip(step.checked, step.sums.check, strict=True):
            found[index] = gradient
        return found

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
