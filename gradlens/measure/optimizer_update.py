"""OptimizerUpdate: measures what an optimizer step subtracts from the parameters. Update says whether it does."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from torch import Tensor
from torch.optim import Optimizer

from gradlens.measure.arming import Arming
from gradlens.measure.engine_and_meter import EngineAndMeter
from gradlens.measure.schedule.clock import Clock

if TYPE_CHECKING:
    from gradlens.measure.recorder import Recorder

# By default, updates are measured if the copies that a step keeps until the optimizer has stepped need at most this many bytes.
MOST_BYTES = 2 << 30
ASK = "--update (update=True) measures it"
NO_OPTIMIZER = "no optimizer is known whose step could be compared"
SEVERAL = "the optimizer owns only {owned:,} of {all:,} trained parameters, and another one may move the rest"
SHARDED = "the parameters are in shards"
LARGE = "the copies that it needs take {size:,.0f} MiB"


@dataclass(frozen=True)
class Update:
    """Whether the optimizer's update is measured.

    Attributes:
        measured: Whether it is.
        required: Whether the user has asked for it. Then the newest update is kept for probes. If not, it is measured only where
            nothing speaks against it.
        why_not: Why it is not measured, although it is wanted; "" if it is measured or not wanted.
    """

    measured: bool
    required: bool = False
    why_not: str = ""

    @classmethod
    def of(
        cls,
        wanted: bool | None,
        optimizer: Optimizer | None,
        params: Sequence[Tensor],
        groups: int,
        *,
        shards: bool = False,
    ) -> Self:
        """Decides.

        Args:
            wanted: True if the user has asked for the update, False if not; None: where nothing speaks against it.
            optimizer: The optimizer; None if it is not known.
            params: The trained parameters.
            groups: Number of recorded groups.
            shards: Whether each process holds a part of each parameter.
        """
        if wanted is False:
            return cls(measured=False)
        if optimizer is None:
            needs = "update=True needs the optimizer (Lens(..., optimizer=optimizer)); the update is not measured"
            return cls(measured=False, required=bool(wanted), why_not=needs if wanted else _by_default(NO_OPTIMIZER))
        if wanted:
            return cls(measured=True, required=True)
        why = SHARDED if shards else why_not_whole(params, optimizer) or _why_large(params, groups)
        if why is not None:
            return cls(measured=False, why_not=_by_default(why))
        return cls(measured=True)

    def tell(self, recorder: Recorder, step: int) -> None:
        """Logs why updates are not measured, if they are wanted. Warns if the user has asked for them."""
        if self.why_not and self.required:
            recorder.warn("no-update", step, self.why_not)
        elif self.why_not:
            recorder.event("no-update", step, message=self.why_not)


def why_not_whole(params: Sequence[Tensor], optimizer: Optimizer) -> str | None:
    """Returns why an optimizer's step may be only a part of the parameters' change; None if it owns all of them."""
    ids = {id(param) for group in optimizer.param_groups for param in group["params"]}
    owned = sum(id(param) in ids for param in params)
    return None if owned == len(params) else SEVERAL.format(owned=owned, all=len(params))


def _why_large(params: Sequence[Tensor], groups: int) -> str | None:
    # The gradients of the groups and their sum, and the parameters before the step.
    size = (groups + 2) * sum(param.numel() * param.element_size() for param in params)
    return LARGE.format(size=size / 2**20) if size > MOST_BYTES else None


def _by_default(why: str) -> str:
    return f"the optimizer's update is not measured, so the benefit of steps is not known: {why}; {ASK}"


class OptimizerUpdate:
    """Copies the parameters before a measured step, and subtracts the parameters after it.

    Memory: one copy of the parameters, from the optimizer's step to its end. The groups' gradients of the step are kept as long.
    The update of the newest measured step is kept for probes, if the user has asked for updates.

    Attributes:
        chosen: Whether updates are measured, and why not.
        last: What the newest measured step subtracted from each parameter, if it is kept; or None.
    """

    def __init__(self, arming: Arming, current: EngineAndMeter, clock: Clock, chosen: Update) -> None:
        """Keeps its arguments. There is no copy yet.

        Args:
            arming: Says whether the current step is measured.
            current: Holds the meter, which knows the parameters.
            clock: Counts the time that the copy takes.
            chosen: Whether updates are measured.
        """
        self._arming, self._current, self._clock = arming, current, clock
        self.chosen = chosen
        self.last: list[Tensor | None] | None = None
        self._before: list[Tensor] | None = None

    def note(self, optimizer: Optimizer) -> None:
        """Copies the parameters if the step is measured. It must be called before the optimizer steps.

        If updates are measured by default, and the optimizer does not own all parameters, nothing is copied: another optimizer
        may move the others.
        """
        if not self._arming.armed:
            return
        begun = time.perf_counter()
        params = self._current.meter.params
        if self.chosen.required or why_not_whole(params, optimizer) is None:
            self._before = [param.detach().clone() for param in params]
        self._clock.own(time.perf_counter() - begun)

    def forget(self) -> None:
        """Drops the copy."""
        self._before = None

    def taken(self) -> list[Tensor | None] | None:
        """Returns what the step subtracted from each parameter, and drops the copy; None if there is no copy."""
        before, self._before = self._before, None
        if before is None:
            return None
        update: list[Tensor | None] = [
            old.sub_(new.detach()) for old, new in zip(before, self._current.meter.params, strict=True)
        ]
        self.last = update if self.chosen.required else None
        return update
