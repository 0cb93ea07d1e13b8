"""SharedSteppedGradient: the processes decide together whether the optimizer steps on the gradients of several passes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gradlens.autograd.grads import Grads
from gradlens.distributed.joint_processes import JointProcesses
from gradlens.measure.meter import StepMeter
from gradlens.measure.processes import StepDropped
from gradlens.measure.stepped_gradient import SteppedGradient
from gradlens.measure.stepped_passes import step_together, taken_away


class SharedSteppedGradient(SteppedGradient):
    """Finds gradient surgery in a training of several processes; see ``SteppedGradient``.

    It compares means over the processes. A script may average the gradients of each pass before it combines them, or each
    process combines its own gradients and the results are averaged: the means are right for both.

    Without passes set aside, each process compares its own gradients. Nothing is compared if the script averages gradients by
    hand, because it does so between the backward pass and the step.
    """

    def __init__(self, fail: Callable[[Exception], None], processes: JointProcesses) -> None:
        """Keeps its arguments.

        Args:
            fail: See ``SteppedGradient``.
            processes: The processes that train.
        """
        super().__init__(fail)
        self._processes = processes
        self._waits = False
        self._stepped: Grads | None = None

    def forget(self) -> None:
        """See ``SteppedGradient.forget``."""
        super().forget()
        self._waits, self._stepped = False, None

    def decide(self, meter: StepMeter) -> None:
        """Decides whether the passes set aside count. All processes must call it, if one of them has set a pass aside.

        Args:
            meter: The meter of this step.

        Raises:
            StepDropped: The processes have set different passes aside, or come to different results.
        """
        if self._waits:  # the passes ran inside the optimizer's step
            self._look(None)
        passes, stepped, team = self._passes, self._stepped, self._processes.team
        number = 0 if stepped is None else len(passes)
        facts = torch.zeros(2 + len(meter.params), dtype=torch.float64)
        facts[0], facts[1] = number, number**2
        facts[[2 + i for i in taken_away(passes, self._owned)]] = 1
        numbers, squares, *there = team.sum(facts).tolist()
        if stepped is None or numbers**2 != team.size * squares:
            raise StepDropped("the processes zeroed .grad between different backward passes")
        at = [i for i, some in enumerate(there) if some]
        together = None
        if at:
            products = meter.products([[vector[i] for i in at] for vector in (*passes, stepped)], at)
            together = step_together(products, [meter.params[i] for i in at])
        agreed = float(team.sum(torch.tensor(float(together is not None), dtype=torch.float64)))
        if agreed not in (0, team.size):
            raise StepDropped("the processes step on different combinations of their passes")
        if together is not None:
            self._together, self._found = True, torch.tensor([together.scale, together.rest])

    def _note(self, left: Grads) -> None:
        self._waits = bool(self._passes)
        if not self._waits and self._meter is not None and self._processes.grad_is_averaged(self._meter.passes):
            super()._note(left)

    def _look(self, factor: Tensor | None) -> None:
        if not self._waits or self._meter is None:
            super()._look(factor)
            return
        self._waits = False
        self._stepped = [None if p.grad is None else p.grad.detach().clone() for p in self._meter.params]
