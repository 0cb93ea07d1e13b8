"""OptimizerUpdate: what an optimizer step takes off the parameters."""

from __future__ import annotations

import time

from torch import Tensor

from gradlens.measure.arming import Arming
from gradlens.measure.engine_and_meter import EngineAndMeter
from gradlens.measure.schedule.clock import Clock


class OptimizerUpdate:
    """The difference that a measured step makes, from a copy of the parameters before it.

    Attributes:
        wanted: Whether it is measured.
    """

    def __init__(self, arming: Arming, current: EngineAndMeter, clock: Clock, *, wanted: bool) -> None:
        """Nothing is noted yet.

        Args:
            arming: Says which steps are measured.
            current: The meter, which knows the parameters.
            clock: Counts the time of ours.
            wanted: Whether it is measured.
        """
        self._arming, self._current, self._clock = arming, current, clock
        self.wanted = wanted
        self._before: list[Tensor] | None = None

    def note(self) -> None:
        """Copies the parameters in a step that is measured; to be called before the optimizer steps."""
        if self._arming.armed:
            begun = time.perf_counter()
            self._before = [param.detach().clone() for param in self._current.meter.params]
            self._clock.own(time.perf_counter() - begun)

    def forget(self) -> None:
        """Drops what was noted."""
        self._before = None

    def taken(self) -> list[Tensor | None] | None:
        """Returns what the step took off each parameter, and drops what was noted; None where nothing was noted."""
        before, self._before = self._before, None
        if before is None:
            return None
        return [old - new.detach() for old, new in zip(before, self._current.meter.params, strict=True)]
