"""StepMeter: everything that is measured between two optimizer steps, summed over micro-batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from gradlens.autograd.arithmetic import added, less, relative_difference, summed
from gradlens.autograd.cotangents import bypasses, cotangents, cut, nearest_parameters
from gradlens.autograd.float_range import can_leave, in_range
from gradlens.autograd.grads import Grads
from gradlens.autograd.inner_products import Layout, inner_products
from gradlens.autograd.parameter_hooks import RawGradients
from gradlens.autograd.pull_back import gradients
from gradlens.batch.labelled import outside, scores_of
from gradlens.batch.loss_scale import scale_of
from gradlens.batch.rows import LabelsError, Rows
from gradlens.batch.same_samples import Samples
from gradlens.engines import EngineSwitch, pull_back
from gradlens.groups import ClassGroups
from gradlens.measure.pending_result import Pending, Plan
from gradlens.measure.step_passes import StepPasses
from gradlens.measure.step_sums import StepSums

# The gradients that a backward pass has returned, each with its parameter.
Taken: TypeAlias = Callable[[], Iterable[tuple[Tensor, Tensor | None]]]


class StepMeter:
    """Measures the backward passes of one optimizer step after another.

    One vector, that of the group with most samples, is never pulled back: it is the gradient that training computes
    anyway, less all others. The same vector pulled back on its own (on every step over the layer nearest the anchor, on
    checking steps over all) gives the residual, a proof that does not use the difference.
    """

    # Whether no other process averages the gradients.
    _alone = True
    # What belongs to one step; _restart begins the next.
    _passes: StepPasses
    _difference: int | None
    _checked: Sequence[int] | None
    _thorough: bool
    _samples: Samples | None
    _evaluated: Pending | None
    _scale: Tensor | None
    _rounding: float

    def __init__(self, layout: Layout, groups: ClassGroups, components: int, switch: EngineSwitch) -> None:
        """Prepares.

        Args:
            layout: The parameters by layer.
            groups: K groups.
            components: Number of loss components, at least 1.
            switch: The engine in use.
        """
        self._groups = groups
        self._components = components
        self._switch = switch
        self._layers = len(layout.layers)
        trainable = layout.trainable()
        self.params: list[nn.Parameter] = [layout.params[i] for i in trainable]
        self._layer_of = [layout.layer_of[i] for i in trainable]
        self._leaves_range = can_leave(self.params)
        self._rest = components * len(groups)
        # False once gradients were seen to vanish in the backward pass (an optimizer inside it): no difference then.
        self._has_total = True
        self._copies = False
        self._restart()

    @property
    def scale(self) -> Tensor | None:
        """The scale of the gradient scaler that the step's losses went through, or None."""
        return self._scale

    @property
    def begun(self) -> bool:
        """Whether a backward pass of the current step was measured."""
        return self._sums.begun

    @property
    def passes(self) -> StepPasses:
        """The step's backward passes."""
        return self._passes

    def measure(
        self,
        losses: Sequence[Tensor],
        anchors: Sequence[Tensor],
        labels: Tensor,
        rows: Rows,
        backward: Callable[[], None],
        *,
        check: bool,
        rounding: float = 0.0,
        logits: Tensor | None = None,
        taken: Taken | None = None,
        retains: bool = False,
    ) -> None:
        """Runs ``backward`` once and adds what it contributes to the current step.

        Args:
            losses: One loss for each component.
            anchors: Tensors whose rows are samples.
            labels: Their labels.
            rows: The rows by group.
            backward: The ordinary backward.
            check: Compares with independent pull-backs over all parameters; that of a step's first call counts for all of them.
            rounding: Relative rounding of the forward pass where it is more than that of anchors and parameters.
            logits: What loss and hits are counted from, where it is not an anchor of C columns.
            taken: The gradients that ``backward`` has returned, where it leaves none in ``.grad``.
            retains: Whether ``backward`` keeps the graph for a pass over another loss.

        Raises:
            LabelsError: The loss does not depend on the anchors.
        """
        self._begin(returned=taken is not None)
        if retains:
            self._passes.retains()
        self._scale = scale_of(losses)
        reached = [c for c, loss in enumerate(losses) if any(g is not None for g in cotangents(loss, anchors))]
        if not reached:
            raise LabelsError(
                "the loss does not depend on the model's output that was seen: it was detached, or comes from another forward "
                "pass; compute the loss from what the model returned in this step, or name the tensor with outputs="
            )
        again = self._again(Samples.of(anchors, labels, rows))
        seen = self._agree(losses, reached, rows)
        with_mass = [k for k, count in enumerate(seen.counts) if count > 0]
        present = [(c, k) for c in reached for k in with_mass]
        if self._checked is None:
            self._thorough = check
            self._checked = range(len(self.params)) if check else nearest_parameters(anchors[0], self.params)
        if self._difference is None and present and self._has_total and self._tells(losses):
            largest = max(with_mass, key=lambda k: seen.counts[k])
            self._difference = self._position(reached[0], largest)
        wanted = [pair for pair in present if self._position(*pair) != self._difference]
        tested = [pair for pair in present if self._position(*pair) == self._difference]
        self._sums.add(self._rest, self._around(summed(losses), anchors, seen))
        if self._checked:
            near = [self.params[i] for i in self._checked]
            for vector in pull_back(losses, anchors, rows, tested, near):
                self._sums.check = vector if self._sums.check is None else added(self._sums.check, vector)
        found = self._pulled(losses, anchors, rows, wanted, self._sums.raw.noting(backward), self._thorough)
        for pair, vector in zip(wanted, found, strict=True):
            self._sums.add(self._position(*pair), vector)
        if taken is not None:
            self._sums.take(taken())
        dtypes = {tensor.dtype for tensor in (*anchors, *self.params)}
        self._rounding = max(self._rounding, rounding, *(torch.finfo(dtype).eps for dtype in dtypes))
        if not (again and self._sums.counts.any()):
            self._sums.count(rows.counts, scores_of(anchors, labels, rows, self._groups, logits), again=again)
        self._sums.note(losses)

    def measure_rest(self, losses: Sequence[Tensor], backward: Callable[[], None]) -> None:
        """Runs a backward pass that passes through no samples: all of it belongs to ``rest``."""
        self._begin()
        self._scale = scale_of(losses)
        before = [None if p.grad is None else p.grad.detach().clone() for p in self.params]
        own = RawGradients(self.params, vanishing=self._alone)
        self._sums.raw.noting(own.noting(backward))()
        after = [p.grad for p in self.params]
        self._sums.add(self._rest, own.put_into(less(after, before, copied=True)))
        self._sums.note(losses)

    def hold(self, *, keep: bool) -> None:
        """Evaluates the step so far, while ``.grad`` is what the backward passes left there (not yet clipped or unscaled).

        Args:
            keep: Keeps the vectors for ``finish(update)`` instead of their inner products.
        """
        kept = self._passes.hold(copied=keep)
        total = self._sums.total or []
        if self._has_total and self._difference is not None and all(g is None for g in total):
            self._has_total = False  # gradients vanish in the backward pass: from the next step on all are pulled back
            self._difference = None
        self._evaluated = None if kept else self._evaluate(total, None)

    def finish(self, update: Grads | None = None) -> Pending | None:
        """Ends the step and returns its result; None where nothing was measured, or a pass of it was lost.

        Args:
            update: What the optimizer took off the parameters, after ``hold(keep=True)``.
        """
        total, lost = self._sums.total, self._passes.written
        self._copies |= lost
        pending = self._evaluate(total, update) if self._evaluated is None and total is not None else self._evaluated
        self._restart()
        return None if lost else pending

    def products(self, vectors: Sequence[Grads], at: Sequence[int]) -> Tensor:
        """Returns [W, W] inner products over the parameters number ``at``; of huge or tiny vectors all in another unit."""
        scaled, _ = self._in_range(vectors, vectors)
        return self._products(scaled, at, [0] * len(at), 1)[0]

    @property
    def _sums(self) -> StepSums:
        return self._passes.sums

    def _restart(self) -> None:
        self._passes = StepPasses(self.params, len(self._groups), alone=self._alone, copies=self._copies)
        self._choose_anew()

    def _choose_anew(self) -> None:
        self._difference = self._checked = self._samples = None
        self._evaluated = self._scale = None
        self._rounding = 0.0

    def _begin(self, *, returned: bool = False) -> None:
        if self._passes.begin(self._checked, looks=self._has_total and not returned):
            self._choose_anew()

    def _again(self, samples: Samples) -> bool:
        """Whether these are the samples of the backward pass before, with another loss of theirs."""
        before, self._samples = self._samples, samples
        return before is not None and samples.same_as(before)

    def _agree(self, losses: Sequence[Tensor], reached: Sequence[int], rows: Rows) -> Rows:  # noqa: ARG002
        """Returns the rows with the counts that say which groups take part: in one process its own."""
        return rows

    def _tells(self, losses: Sequence[Tensor]) -> bool:
        """Whether the total less the other vectors can be a number: not where a loss is none. It waits for no device."""
        return all(loss.device.type != "cpu" or math.isfinite(loss.detach().sum().item()) for loss in losses)

    def _products(self, vectors: Sequence[Grads], at: Sequence[int], layer_of: Sequence[int], layers: int) -> Tensor:
        """Returns [L, V, V] inner products of vectors over the parameters number ``at``."""
        return inner_products(vectors, [self.params[i] for i in at], layer_of, layers)

    def _in_range(self, vectors: Sequence[Grads], sized: Sequence[Grads]) -> tuple[Sequence[Grads], Tensor | None]:
        """Returns vectors of whom ``sized`` have squares that fit, and the power of two they were divided by (None = 0)."""
        return in_range(vectors, self.params[0].device, sized=sized) if self._leaves_range else (vectors, None)

    def _position(self, component: int, group: int) -> int:
        return component * len(self._groups) + group

    def _around(self, loss: Tensor, anchors: Sequence[Tensor], rows: Rows) -> Grads | None:
        """What reaches the parameters around the anchors, or through rows of no group; None where nothing can."""
        found: Grads | None = None
        if bypasses(loss, anchors, self.params):
            with cut(anchors):
                found = gradients([loss], self.params, [None])
        if rows.untracked > 0:
            through = pull_back([loss], anchors, outside(rows), [(0, 0)], self.params)[0]
            found = through if found is None else added(found, through)
        return found

    def _pulled(
        self,
        losses: Sequence[Tensor],
        anchors: Sequence[Tensor],
        rows: Rows,
        wanted: Sequence[tuple[int, int]],
        backward: Callable[[], None],
        check: bool,
    ) -> list[Grads]:
        if not check or self._switch.always_exact:
            return self._switch.measure(losses, anchors, rows, wanted, backward)
        truth = pull_back(losses, anchors, rows, wanted, self.params)
        found = self._switch.measure(losses, anchors, rows, wanted, backward)
        if wanted:
            gaps = [relative_difference(f, t) for f, t in zip(found, truth, strict=True)]
            known = self._sums.disagreement
            self._sums.disagreement = torch.stack([*gaps, *([] if known is None else [known])]).max()
        return truth

    def _evaluate(self, total: Grads, update: Grads | None) -> Pending:
        sums = self._sums
        vectors = dict(sums.vectors)
        vectors.setdefault(self._rest, [None] * len(self.params))
        if update is not None:
            vectors[self._rest + 1] = update
        plan = Plan(
            size=self._rest + 1 + (update is not None),
            computed=tuple(vectors),
            difference=self._difference,
            update=None if update is None else self._rest + 1,
            rounding=self._rounding,
            scaled=self._scale is not None,
        )
        sized = [vector for position, vector in vectors.items() if position != plan.update]
        computed, exponent = self._in_range([*vectors.values(), total], [*sized, total])
        products = self._products(computed, range(len(self.params)), self._layer_of, self._layers)
        loss = sums.loss
        if self._scale is not None:
            scale = self._scale.to(products)
            factors = torch.stack(
                [*(1 / scale if p != plan.update else torch.ones_like(scale) for p in vectors), 1 / scale]
            )
            products = products * factors * factors[:, None]
            loss = None if loss is None else loss / self._scale.to(loss)
        nothing = torch.tensor(torch.nan)
        scores = torch.full((2, len(self._groups)), torch.nan) if sums.scores is None else sums.scores
        return Pending.start(
            plan,
            products,
            self._residual(total),
            scores,
            nothing if loss is None else loss,
            nothing if sums.disagreement is None else sums.disagreement,
            sums.counts,
            exponent,
        )

    def _residual(self, total: Grads) -> Tensor:
        """|total - all vectors| / |total| over the checked parameters, with the largest group pulled back on its own."""
        if not self._checked or self._sums.check is None or self._difference is None:
            return torch.tensor(torch.nan)
        at = list(self._checked)
        parts = [[vector[i] for i in at] for vector in self._sums.vectors.values()]
        whole = [*parts, self._sums.check, [total[i] for i in at]]
        compared, _ = self._in_range(whole, whole)
        products = self._products(compared, at, [0] * len(at), 1)[0]
        signs = torch.tensor([-1.0] * (len(parts) + 1) + [1.0], dtype=products.dtype).to(
            products.device, non_blocking=True
        )
        # In float64 and from inner products: exact to about 1e-8 of the gradient, far below what float32 leaves.
        return (signs @ products @ signs).clamp(min=0).sqrt() / products[-1, -1].sqrt()
