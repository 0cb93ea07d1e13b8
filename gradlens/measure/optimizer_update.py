"""OptimizerUpdate: measures what an optimizer step subtracts from the parameters."""

from __future__ import annotations

import time

from torch import Tensor

from gradlens.measure.arming import Arming
from gradlens.measure.engine_and_meter import EngineAndMeter
from gradlens.measure.schedule.clock import Clock


class OptimizerUpdate:
    """Copies the parameters before a measured step, and subtracts the parameters after it.

    Attributes:
        wanted: Whether updates are measured.
    """

    def __init__(self, arming: Arming, current: EngineAndMeter, clock: Clock, *, wanted: bool) -> None:
        """Keeps its arguments. There is no copy yet.

        Args:
            arming: Says whether the current step is measured.
            current: Holds the meter, which knows the parameters.
            clock: Counts the time that the copy takes.
            wanted: Whether updates are measured.
        """
        self._arming, self._current, self._clock = arming, current, clock
        self.wanted = wanted
        self._before: list[Tensor] | None = None

    def note(self) -> None:
        """Copies the parameters if the step is measured. It must be called before the optimizer steps."""
        if self._arming.armed:
            begun = time.perf_counter()
            self._before = [param.detach().clone() for param in self._current.meter.params]
            self._clock.own(time.perf_counter() - begun)

    def forget(self) -> None:
        """Drops the copy."""
        self._before = None

    def taken(self) -> list[Tensor | None] | None:
        """Returns what the step subtracted from each parameter, and drops the copy; None if there is no copy."""
        before, self._before = self._before, None
        if before is None:
            return None
        return [old - new.detach() for old, new in zip(before, self._current.meter.params, strict=True)]
