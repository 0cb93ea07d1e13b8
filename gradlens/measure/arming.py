"""Arming: whether the current step is measured, and what waits for its forward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gradlens.batch.anchors import AnchorWatch
from gradlens.measure.engine_and_meter import EngineAndMeter


class Arming:
    """Arms the step that is measured next.

    Attributes:
        armed: Whether the current step is measured.
        on_changed: Called whenever ``armed`` has been set.
    """

    def __init__(self, current: EngineAndMeter, fail: Callable[[Exception], None]) -> None:
        """Prepares.

        Args:
            current: The engine and the meter in use.
            fail: Takes errors of ours that happen in the model's forward passes.
        """
        self._current = current
        self._watch = AnchorWatch(current.model, fail)
        self.armed = False
        self.on_changed: Callable[[], None] = lambda: None

    def set(self, armed: bool) -> None:
        """Says whether the current step is measured."""
        self.armed = armed
        self.on_changed()

    def arm(self) -> None:
        """Waits for the forward pass."""
        self._watch.arm()
        self._current.arm()

    def disarm(self) -> None:
        """Waits for nothing more; the step is not armed any longer."""
        self._watch.disarm()
        self._current.switch.engine.disarm()

    def take_outputs(self) -> list[Any]:
        """Returns what the model returned since the last backward pass of a measured step."""
        return self._watch.take()

    @property
    def rounding(self) -> float:
        """Relative rounding of the forward pass where it is more than that of anchors and parameters."""
        return self._watch.rounding
