"""OptimizerChanges: notices when a training goes on with another optimizer, or with another model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any
from weakref import ref

from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook

from gradlens.tracking.attach.other_models import OtherModels
from gradlens.tracking.attach.tracked_lens import TrackedLens

# The known optimizer is the one whose steps the lens counts. Another optimizer of the same parameters replaces it after this
# many steps in a row, without a step of the known one.
ANOTHER_OPTIMIZER = 2
# The same number for an optimizer of other parameters. It is larger, because adversarial trainings take turns of a few steps.
ANOTHER_MODEL = 20
# After this many steps of the known optimizer, a new optimizer of all its parameters replaces it at its first step. Optimizers
# that wrap one another or step in turn have all stepped before that.
SETTLED = 2


class OptimizerChanges:
    """Watches the steps of all optimizers, to find out when another one replaces the known one.

    Optimizers that wrap one another or step in turn do not replace it.

    Attributes:
        on_lost: Is called whenever ``lost`` has been set.
    """

    def __init__(
        self,
        lens: TrackedLens,
        optimizer: Optimizer | None,
        measured: set[int],
        on_new: Callable[[], None],
        fail: Callable[[Exception], None],
        others: OtherModels,
    ) -> None:
        """Begins to watch.

        Args:
            lens: The lens.
            optimizer: The known optimizer, whose steps the lens counts; None if each backward pass is a step.
            measured: Ids of the parameters that the lens measures.
            on_new: Is called before the lens follows another optimizer.
            fail: Is given each error of gradlens, which must not reach the training's step.
            others: Counts the steps of other models.
        """
        self.on_lost: Callable[[], None] = lambda: None
        self._lost = False
        self._others = False  # whether another optimizer has stepped since the known one did
        self._fail, self._beside = fail, others
        self._lens, self._known, self._measured, self._on_new = lens, optimizer, measured, on_new
        # Weak references: an optimizer holds as much memory as its model, and must not be kept alive by these counts.
        self._steps: defaultdict[ref[Optimizer], int] = defaultdict(int)
        self._strangers: set[ref[Optimizer]] = set()
        self._ever: set[ref[Optimizer]] = set()
        self._since = lens.step
        self._handle = register_optimizer_step_post_hook(self._stepped)

    @property
    def lost(self) -> bool:
        """Whether another model may be training: an optimizer of other parameters steps, and the known one does not."""
        return self._lost

    @lost.setter
    def lost(self, lost: bool) -> None:
        self._lost = lost
        self.on_lost()

    def stop(self) -> None:
        """Stops watching."""
        self.lost = False
        self._handle.remove()

    def newcomer(self) -> Optimizer | None:
        """Returns the optimizer that has stepped most since the known one did; None if there is none."""
        alive = {found: steps for weak, steps in self._steps.items() if (found := weak()) is not None}
        return max(alive, key=lambda optimizer: alive[optimizer], default=None)

    def give_up(self) -> None:
        """Ignores the optimizers that step now, because their model cannot be measured."""
        self._strangers.update(self._steps)
        self._rest()

    def follow(self, optimizer: Optimizer, *, stepped: bool = False) -> None:
        """Makes an optimizer the known one, whose steps the lens counts.

        Args:
            optimizer: The optimizer.
            stepped: Whether the step that it has just taken is the current step of the lens.
        """
        self._on_new()
        if self._known is not None:
            self._ever.add(ref(self._known))
            self._lens.step += 0 if stepped else self._steps.get(ref(optimizer), 0)
        self._known = optimizer
        self._measured = self._measured | _owned(optimizer)
        self._beside.measuring(self._measured, from_start=True)
        self._rest()
        self._lens.follow(optimizer, stepped=stepped)

    def _rest(self) -> None:
        if self._lost:
            self.lost = False
        self._others = False
        self._steps.clear()

    def _stepped(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:  # noqa: ARG002
        # This runs in each step of each optimizer, so it must be fast: one function, and few calls.
        try:
            if optimizer is self._known:
                if self._others:
                    self._rest()
                return
            weak = ref(optimizer)
            if weak not in self._beside.uncounted:
                self._beside.stepped(optimizer)
            if weak in self._strangers:
                return
            self._others = True
            self._steps[weak] += 1
            if weak not in self._ever:
                self._ever.add(weak)
                if self._succeeds(optimizer):
                    self.follow(optimizer, stepped=True)
            elif (steps := self._steps[weak]) >= ANOTHER_OPTIMIZER:
                self._weigh(optimizer, steps)
        except Exception as error:
            self._fail(error)

    def _succeeds(self, optimizer: Optimizer) -> bool:
        """Says whether an optimizer that has just stepped for the first time replaces the known one; see ``SETTLED``."""
        if self._known is None or self._lens.step - self._since < SETTLED:
            return False
        return _owned(self._known) <= _owned(optimizer)

    def _weigh(self, optimizer: Optimizer, steps: int) -> None:
        """Decides whether another optimizer, with ``steps`` steps in a row, replaces the known one or trains another model."""
        own = _owned(optimizer)
        if own & (self._measured if self._known is None else _owned(self._known)):
            self.follow(optimizer)
        elif self._known is not None and steps >= ANOTHER_MODEL:
            if own & self._measured:
                self.follow(optimizer)
            else:
                self.lost = True


def _owned(optimizer: Optimizer) -> set[int]:
    return {id(param) for group in optimizer.param_groups for param in group["params"]}
