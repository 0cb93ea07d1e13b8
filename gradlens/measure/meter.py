"""StepMeter: measures the backward passes between two optimizer steps, and adds up their numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from gradlens.autograd.arithmetic import added, less, relative_difference, summed
from gradlens.autograd.cotangents import AnchoredLosses, bypasses, cut, nearest_parameters
from gradlens.autograd.grads import Grads
from gradlens.autograd.inner_products import Layout
from gradlens.autograd.parameter_hooks import RawGradients
from gradlens.autograd.pull_back import gradients
from gradlens.batch.labelled import outside, scores_of
from gradlens.batch.loss_scale import scale_of
from gradlens.batch.rows import LabelsError, RowsByGroup
from gradlens.batch.same_samples import Samples
from gradlens.engines import EngineSwitch, pull_back
from gradlens.groups import ClassGroups
from gradlens.measure.evaluation import Evaluation
from gradlens.measure.pending_result import PendingResult
from gradlens.measure.processes import TrainingProcesses
from gradlens.measure.step_passes import StepPasses
from gradlens.measure.step_state import Positions, StepState

# The gradients that a backward pass has returned, each with its parameter.
Taken: TypeAlias = Callable[[], Iterable[tuple[Tensor, Tensor | None]]]


class StepMeter:
    """Measures the backward passes of one optimizer step after another.

    The group with most samples needs no pull-back: its vector is the gradient that the training computes anyway, minus all
    other vectors. It is called the difference. To check it, the same vector is also pulled back by itself: in every step over
    the layer nearest to the anchor, in checking steps over all parameters. The gap between the two gives the residual.
    """

    def __init__(
        self, layout: Layout, groups: ClassGroups, components: int, switch: EngineSwitch, processes: TrainingProcesses
    ) -> None:
        """Begins the first step.

        Args:
            layout: The parameters by layer.
            groups: K groups.
            components: Number of loss components, at least 1.
            switch: Holds the engine in use.
            processes: The processes that train.
        """
        self._groups = groups
        self._switch = switch
        self._processes = processes
        self._evaluation = Evaluation(layout, processes)
        self.params = self._evaluation.params
        self._positions = Positions(components, len(groups))
        # False once an optimizer inside the backward pass has removed the gradients. Then there is no difference.
        self._has_total = True
        self._copies = False
        self._step = self._next_step()
        processes.meter_made(self.params)

    @property
    def scale(self) -> Tensor | None:
        """The gradient scaler's scale, by which the step's losses were multiplied; None without a scaler."""
        return self._step.scale

    @property
    def begun(self) -> bool:
        """Whether a backward pass of the current step was measured."""
        return self._step.sums.begun

    @property
    def passes(self) -> StepPasses:
        """The step's backward passes."""
        return self._step.passes

    def measure(
        self,
        losses: Sequence[Tensor],
        anchors: Sequence[Tensor],
        labels: Tensor,
        rows: RowsByGroup,
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
            backward: The training's backward pass.
            check: Whether to compare with independent pull-backs over all parameters. The value of a step's first call holds
                for the whole step.
            rounding: Relative rounding of the forward pass, if it is more than that of the anchors and the parameters.
            logits: The tensor that loss and hits are counted from. None if it is the anchor with C columns.
            taken: Returns the gradients that ``backward`` has returned, if it leaves none in ``.grad``.
            retains: Whether ``backward`` keeps the graph for a pass over another loss.

        Raises:
            LabelsError: The loss does not depend on the anchors.
        """
        step = self._begin(returned=taken is not None)
        sums = step.sums
        if retains:
            step.passes.retains()
        step.scale = scale_of(losses)
        passed = AnchoredLosses(losses, anchors)
        reached = [c for c in range(len(losses)) if any(g is not None for g in passed.cotangents(c))]
        if not reached:
            raise LabelsError(
                "the loss does not depend on the model's output that was seen: it was detached, or comes from another forward "
                "pass; compute the loss from what the model returned in this step, or name the tensor with outputs="
            )
        again = step.take(Samples.of(anchors, labels, rows))
        seen = self._processes.agree(step, losses, reached, rows, self._switch)
        with_mass = [k for k, count in enumerate(seen.counts) if count > 0]
        present = [(c, k) for c in reached for k in with_mass]
        if step.checked is None:
            step.thorough = check
            step.near = nearest_parameters(anchors[0], self.params)
            step.checked = range(len(self.params)) if check else step.near
        if step.difference is None and self._has_total:
            step.difference = self._chosen_difference(losses, present, seen)
        wanted = [pair for pair in present if self._positions.of(*pair) != step.difference]
        tested = [pair for pair in present if self._positions.of(*pair) == step.difference]
        sums.add(self._positions.rest, self._around(passed, seen))
        if step.checked:
            near = [self.params[i] for i in step.checked]
            for vector in pull_back(passed, rows, tested, near):
                sums.check = vector if sums.check is None else added(sums.check, vector)
        found = self._pulled(passed, rows, wanted, sums.raw.noting(backward))
        for pair, vector in zip(wanted, found, strict=True):
            sums.add(self._positions.of(*pair), vector)
        if taken is not None:
            sums.take(taken())
        dtypes = {tensor.dtype for tensor in (*anchors, *self.params)}
        step.rounding = max(step.rounding, rounding, *(torch.finfo(dtype).eps for dtype in dtypes))
        if not (again and sums.counts.any()):
            sums.count(rows.counts, scores_of(anchors, labels, rows, self._groups, logits), again=again)
        sums.note(losses)

    def measure_rest(self, losses: Sequence[Tensor], backward: Callable[[], None]) -> None:
        """Runs a backward pass that goes through no samples. All of its gradient belongs to ``rest``."""
        self._processes.agree_on_rest()
        step = self._begin()
        step.rests += 1
        step.scale = scale_of(losses)
        before = [None if p.grad is None else p.grad.detach().clone() for p in self.params]
        own = RawGradients(self.params, vanishing=self._processes.alone)
        step.sums.raw.noting(own.noting(backward))()
        after = [p.grad for p in self.params]
        step.sums.add(self._positions.rest, own.put_into(less(after, before, copied=True)))
        step.sums.note(losses)

    def hold(self, *, keep: bool) -> None:
        """Evaluates the step so far. ``.grad`` must still be what the backward passes left: not yet clipped or unscaled.

        Args:
            keep: Keeps the vectors for ``finish(update)``, and computes their inner products there.
        """
        step = self._step
        kept = step.passes.hold(copied=self._processes.keeps() or keep)
        total = step.sums.total or []
        if self._has_total and step.difference is not None and all(g is None for g in total):
            # The backward pass removes the gradients. From the next step on, every vector is pulled back.
            self._has_total = False
            step.difference = None
        step.evaluated = None if kept else self._evaluation.result(step, total, None)

    def finish(self, update: Grads | None = None) -> PendingResult | None:
        """Ends the step and returns its result; None if nothing was measured, or if a pass of it was lost.

        Args:
            update: What the optimizer subtracted from the parameters, after ``hold(keep=True)``.
        """
        step = self._step
        self._processes.add_up(step, self.params)
        total, lost = step.sums.total, step.passes.written
        self._copies |= lost
        evaluates = step.evaluated is None and total is not None
        pending = self._evaluation.result(step, total or [], update) if evaluates else step.evaluated
        self._step = self._next_step()
        return None if lost else pending

    def products(self, vectors: Sequence[Grads], at: Sequence[int]) -> Tensor:
        """Returns [W, W] inner products of vectors over some parameters, for the global batch.

        Args:
            vectors: W vectors of this process, over the parameters ``at``.
            at: Indices of parameters.
        """
        return self._evaluation.products(self._processes.averaged(vectors, at, self.params), at)

    def _next_step(self) -> StepState:
        alone, copies = self._processes.alone, self._copies
        return StepState(StepPasses(self.params, len(self._groups), alone=alone, copies=copies), self._positions)

    def _begin(self, *, returned: bool = False) -> StepState:
        """Returns the state of the step, to which a new pass is added."""
        step = self._step
        begun = step.sums.begun
        anew = step.passes.begin(step.checked, looks=self._has_total and not returned)
        step.restarts += begun and not step.sums.begun
        if anew:
            self._step = step = step.without_passes()
        return step

    def _chosen_difference(
        self, losses: Sequence[Tensor], present: Sequence[tuple[int, int]], seen: RowsByGroup
    ) -> int | None:
        """Returns the position of the vector that need not be pulled back, or None."""
        known = self._processes.largest(seen)
        if known is not None:
            return self._positions.of(0, known)
        # If a loss is not finite, the total minus the other vectors is NaN. Only losses on the CPU are read: no device waits.
        if not present or any(
            loss.device.type == "cpu" and not math.isfinite((loss if loss.numel() == 1 else loss.detach().sum()).item())
            for loss in losses
        ):
            return None
        component, _ = present[0]
        return self._positions.of(component, max((k for _, k in present), key=lambda k: seen.counts[k]))

    def _around(self, passed: AnchoredLosses, rows: RowsByGroup) -> Grads | None:
        """Returns the gradient that goes around the anchors, or through rows of no group; None if there is no such path."""
        loss, anchors = summed(passed.losses), passed.anchors
        found: Grads | None = None
        if bypasses(loss, anchors, self.params):
            with cut(anchors):
                found = gradients([loss], self.params, [None])
        if rows.untracked > 0:
            whole = passed if len(passed.losses) == 1 else AnchoredLosses([loss], anchors)
            through = pull_back(whole, outside(rows), [(0, 0)], self.params)[0]
            found = through if found is None else added(found, through)
        return found

    def _pulled(
        self,
        passed: AnchoredLosses,
        rows: RowsByGroup,
        wanted: Sequence[tuple[int, int]],
        backward: Callable[[], None],
    ) -> list[Grads]:
        step = self._step
        if not step.thorough or self._switch.always_exact:
            return self._switch.measure(passed, rows, wanted, backward)
        truth = pull_back(passed, rows, wanted, self.params)
        found = self._switch.measure(passed, rows, wanted, backward)
        if wanted:
            gaps = [relative_difference(f, t) for f, t in zip(found, truth, strict=True)]
            known = step.sums.disagreement
            step.sums.disagreement = torch.stack([*gaps, *([] if known is None else [known])]).max()
        return truth
