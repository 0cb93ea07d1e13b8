"""Arming: whether the current step is measured. If it is, the model's forward pass is watched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gradlens.batch.anchors import AnchorWatch
from gradlens.measure.engine_and_meter import EngineAndMeter


class Arming:
    """Arms a step: installs the hooks that watch the forward pass of a step that is to be measured.

    Attributes:
        armed: Whether the current step is measured.
        on_changed: Called whenever ``armed`` has been set.
    """

    def __init__(self, current: EngineAndMeter, fail: Callable[[Exception], None]) -> None:
        """Keeps its arguments. No step is armed yet.

        Args:
            current: The engine and the meter in use.
            fail: Is given each error of gradlens in the model's forward passes.
        """
        self._current = current
        self._watch = AnchorWatch(current.model, fail)
        self.armed = False
        self.on_changed: Callable[[], None] = lambda: None

    def set(self, armed: bool) -> None:
        """Sets ``armed`` and calls ``on_changed``."""
        self.armed = armed
        self.on_changed()

    def arm(self) -> None:
        """Watches the forward pass that comes."""
        self._watch.arm()
        self._current.arm()

    def disarm(self) -> None:
        """Stops watching the forward pass. ``armed`` stays as it is."""
        self._watch.disarm()
        self._current.switch.engine.disarm()

    def take_outputs(self) -> list[Any]:
        """Returns the outputs of the model since they were last taken."""
        return self._watch.take()

    @property
    def rounding(self) -> float:
        """Relative rounding of the forward pass, if it is more than that of the anchors and the parameters."""
        return self._watch.rounding
