"""StepPasses: the backward passes of one step, those whose gradients lie in ``.grad`` and those whose were taken out of it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from gradlens.autograd.arithmetic import added, zeroed
from gradlens.autograd.grads import Grads
from gradlens.measure.step_sums import StepSums

# Passes set aside whose gradients are kept one by one; of more, the earliest are added up.
KEPT = 8


class StepPasses:
    """Tells what of the passes' gradients is still there.

    A pass whose gradients were zeroed before the next one may have been for nothing (a gradient scaler skips a step, an
    optimizer evaluates at other weights). But the script may have kept them: gradient surgery has a pass for each loss and steps
    on what it makes of all their gradients. As long as the weights stay the same, what was taken away is set aside until the
    optimizer steps, and what it steps on tells.

    Attributes:
        sums: What lies in ``.grad``.
        totals: The gradients of passes set aside, [P] each.
        retained: Whether a pass has kept its graph: another one will follow, maybe with ``.grad`` zeroed in place before it.
        joined: Whether passes set aside count.
        written: Whether a pass was lost that should have been set aside: the script wrote to its gradients (it clips each pass)
            before they were copied.
    """

    def __init__(self, params: Sequence[nn.Parameter], groups: int, *, alone: bool, copies: bool) -> None:
        """Prepares for a step.

        Args:
            params: P parameters.
            groups: K.
            alone: Whether no other process averages the gradients.
            copies: Copies the gradient of each pass, for a script that writes to it before it is zeroed.
        """
        self._params, self._groups, self._alone = params, groups, alone
        self._copies = copies
        self.written = self.joined = self.retained = False
        self.sums = self._nothing()
        self.totals: tuple[Grads, ...] = ()
        self._aside: StepSums | None = None
        self._weights: Sequence[int] = ()

    def begin(self, checked: Sequence[int] | None, *, looks: bool) -> bool:
        """Takes note that a pass is about to run; says whether it is the first, as far as any still counts.

        Args:
            checked: Indices of the parameters that are checked.
            looks: Whether to look if earlier gradients were thrown away.
        """
        weights = [param._version for param in self._params]
        if self.sums.begun and looks:
            gone = zeroed([param.grad for param in self._params])
            if any(gone):
                self._take_away(gone, checked, same_weights=self._weights == weights)
        self._weights = weights
        if self.sums.begun:
            return False
        self.sums.before = [None if p.grad is None else p.grad.detach().clone() for p in self._params]
        return self._aside is None

    def retains(self) -> None:
        """Takes note that a pass keeps its graph."""
        self.retained = True

    def hold(self, *, copied: bool) -> bool:
        """Notes the gradient of the passes while it lies in ``.grad``; returns whether it was copied.

        Args:
            copied: Whether it must be; else it is where it is likely to be needed later.
        """
        copied = copied or self._copies or self.retained or self._aside is not None
        self.sums.hold(copied=copied)
        return copied

    def join(self) -> None:
        """Counts what was set aside: it has stepped, too."""
        if self._aside is not None:
            self.sums.put_before(self._aside)
            self.joined = True

    def _take_away(self, gone: Sequence[bool], checked: Sequence[int] | None, *, same_weights: bool) -> None:
        """Takes what was given to parameters whose gradients were zeroed out of the sums.

        All of them are in most cases; some where several optimizers take turns, or where surgery is done on what losses share.
        """
        kept = same_weights and self.sums.outlives(gone)
        self.written |= same_weights and not kept and self.sums.total is not None
        lost = self.sums if all(gone) else self.sums.part(gone, checked)
        if all(gone):
            self.sums = self._nothing()
        else:
            self.sums.forget(gone, checked)
        if not kept:
            self._aside, self.totals = None, ()
        elif lost.total is not None and any(gradient is not None for gradient in lost.total):
            self._set_aside(lost.own())

    def _set_aside(self, lost: StepSums) -> None:
        assert lost.total is not None
        self.totals = (*self.totals, lost.total)
        if len(self.totals) > KEPT:
            self.totals = (added(self.totals[0], self.totals[1]), *self.totals[2:])
        if self._aside is not None:
            lost.put_before(self._aside)
        self._aside = lost

    def _nothing(self) -> StepSums:
        return StepSums(self._params, self._groups, vanishing=self._alone)
