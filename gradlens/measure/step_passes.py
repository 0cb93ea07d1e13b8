"""StepPasses: the backward passes of one step, and which of their gradients still lie in ``.grad``."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from gradlens.autograd.arithmetic import added, zeroed
from gradlens.autograd.grads import Grads
from gradlens.measure.step_sums import StepSums

# The gradients of at most this many passes set aside are kept one by one. If there are more, the earliest are added up.
KEPT = 8


class StepPasses:
    """Follows which passes of a step still count when the script zeroes ``.grad`` between them.

    Sometimes a pass whose gradients were zeroed has no effect: a gradient scaler skips a step, or an optimizer evaluates the
    loss at other weights. But the script may have kept the gradients: gradient surgery runs a pass for each loss, and steps on
    a combination of all their gradients. So, while the weights stay the same, sums whose gradients were zeroed are set aside.
    When the optimizer steps, its gradient shows whether they count.

    Attributes:
        sums: The sums of the passes whose gradients lie in ``.grad``.
        totals: The gradients of passes set aside, [P] each.
        retained: Whether a pass has kept its graph. Then another pass follows, and ``.grad`` may be zeroed in place before it.
        joined: Whether passes set aside count.
        written: Whether a pass was lost that should have been set aside: the script wrote to its gradients (it clips each pass)
            before they were copied.
    """

    def __init__(self, params: Sequence[nn.Parameter], groups: int, *, alone: bool, copies: bool) -> None:
        """Begins a step without passes.

        Args:
            params: P parameters.
            groups: K, the number of groups.
            alone: Whether no other process averages the gradients.
            copies: Whether to copy the gradient of each pass, for a script that writes to it before it zeroes it.
        """
        self._params, self._groups, self._alone = params, groups, alone
        self._copies = copies
        self.written = self.joined = self.retained = False
        self.sums = self._nothing()
        self.totals: tuple[Grads, ...] = ()
        self._aside: StepSums | None = None
        self._weights: Sequence[int] = ()

    def begin(self, checked: Sequence[int] | None, *, looks: bool) -> bool:
        """Is called before each pass. Returns whether it is the first one: no earlier pass of the step can still count.

        Args:
            checked: Indices of the parameters over which the difference is checked, or None.
            looks: Whether to look if the script has zeroed earlier gradients.
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
        """Is called for a pass that keeps its graph."""
        self.retained = True

    def hold(self, *, copied: bool) -> bool:
        """Keeps the gradient of the passes while it lies in ``.grad``. Returns whether it was copied.

        Args:
            copied: Whether it must be copied. If not, it is copied only if it is likely to be needed later.
        """
        copied = copied or self._copies or self.retained or self._aside is not None
        self.sums.hold(copied=copied)
        return copied

    def join(self) -> None:
        """Adds the passes set aside to ``sums``: the optimizer has stepped on their gradients, too."""
        if self._aside is not None:
            self.sums.put_before(self._aside)
            self.joined = True

    def _take_away(self, gone: Sequence[bool], checked: Sequence[int] | None, *, same_weights: bool) -> None:
        """Removes the part of the sums whose gradients were zeroed, and sets it aside if it may still count.

        In most cases the gradients of all parameters were zeroed. Only some are if several optimizers take turns, or if
        surgery is done on the parameters that the losses share.

        Args:
            gone: [P] whether each parameter's gradient was zeroed.
            checked: Indices of the parameters over which the difference is checked, or None.
            same_weights: Whether the weights are those of the pass before.
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
