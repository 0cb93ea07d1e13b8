"""A clock that goes when a test tells it to."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from gradlens.measure.schedule.clock import Clock


class ManualClock:
    """Stands in for the time that clock and schedule read.

    Attributes:
        now: The present moment, in seconds.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        for module in ("clock", "schedule"):
            monkeypatch.setattr(
                f"gradlens.measure.schedule.{module}.time", SimpleNamespace(perf_counter=lambda: self.now)
            )

    def step(self, clock: Clock, plain: float, own: float = 0.0, hidden: float = 0.0) -> tuple[float, float]:
        """One optimizer step: training, our own code, and what our hooks take inside the backward pass."""
        self.now += plain + own + hidden
        clock.own(own)
        return clock.step_ended(measured=own > 0)
