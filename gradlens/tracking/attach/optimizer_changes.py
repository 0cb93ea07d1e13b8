"""Following: notices that a training has gone on with another optimizer, or with another model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any
from weakref import ref

from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook

from gradlens.tracking.attach.other_models import OtherModels
from gradlens.tracking.attach.tracked_lens import TrackedLens

# Steps of another optimizer of some of the parameters, without one of the known, after which it is the one that trains.
ANOTHER_OPTIMIZER = 2
# The same for an optimizer of other parameters: adversaries and the like take turns of a few steps each.
ANOTHER_MODEL = 20
# Steps of the known one after which an optimizer of all its parameters that steps for the first time goes on in its place: those
# that wrap one another or step in turn have shown by then that they do.
SETTLED = 2


class Following:
    """Watches which optimizers step, beside the one whose steps a lens counts.

    Optimizers that wrap one another, and several that step in turn, leave the known one its steps.

    Attributes:
        on_lost: Called whenever ``lost`` has been set.
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
            optimizer: Whose steps it counts; None where each backward pass is a step.
            measured: Ids of the parameters that it measures.
            on_new: Called before the lens follows another optimizer.
            fail: Takes errors of ours, which must not reach the step of the training.
            others: Takes note of what trains beside.
        """
        self.on_lost: Callable[[], None] = lambda: None
        self._lost = False
        self._others = False  # whether another optimizer has stepped since the known one did
        self._fail, self._beside = fail, others
        self._lens, self._known, self._measured, self._on_new = lens, optimizer, measured, on_new
        # By weak references: an optimizer holds as much memory as its model, and these are no reason to keep it.
        self._steps: defaultdict[ref[Optimizer], int] = defaultdict(int)
        self._strangers: set[ref[Optimizer]] = set()
        self._ever: set[ref[Optimizer]] = set()
        self._since = lens.step
        self._handle = register_optimizer_step_post_hook(self._stepped)

    @property
    def lost(self) -> bool:
        """Whether the known optimizer rests while one of unknown parameters steps: another model may be training."""
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
        """Returns the optimizer that steps in the place of the known one."""
        alive = {found: steps for weak, steps in self._steps.items() if (found := weak()) is not None}
        return max(alive, key=lambda optimizer: alive[optimizer], default=None)

    def give_up(self) -> None:
        """Takes note that the optimizers that step now train nothing that can be measured."""
        self._strangers.update(self._steps)
        self._rest()

    def follow(self, optimizer: Optimizer, *, stepped: bool = False) -> None:
        """Goes on with this optimizer: its steps are those of the lens; ``stepped``: with the one it has just taken."""
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
        # Runs in each step of each optimizer: in one piece, and as little of it as possible where they take turns.
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
        """Says whether an optimizer that has just stepped for the first time was made to go on in place of the known one."""
        if self._known is None or self._lens.step - self._since < SETTLED:
            return False
        return _owned(self._known) <= _owned(optimizer)

    def _weigh(self, optimizer: Optimizer, steps: int) -> None:
        """Decides what it means that another optimizer steps again and the known one does not."""
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
