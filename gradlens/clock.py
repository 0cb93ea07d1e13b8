"""Clock: how long training steps take, and how much of that measuring adds."""

from __future__ import annotations

import time
from bisect import bisect_left, insort
from collections import deque

# Steps without measuring whose durations the typical step is taken from.
WINDOW = 51
# A pause (an evaluation, a breakpoint) counts as no more than so many typical steps of training.
PAUSE = 5.0


class Typical:
    """The median of the last WINDOW durations, kept in order: it is asked for in every step of a training.

    Attributes:
        seconds: The median; None before the first duration.
    """

    def __init__(self) -> None:
        self.seconds: float | None = None
        self._newest: deque[float] = deque()
        self._ordered: list[float] = []

    def add(self, seconds: float) -> None:
        """Takes down one more duration."""
        if len(self._newest) == WINDOW:
            del self._ordered[bisect_left(self._ordered, self._newest.popleft())]
        self._newest.append(seconds)
        insort(self._ordered, seconds)
        half, odd = divmod(len(self._ordered), 2)
        self.seconds = self._ordered[half] if odd else (self._ordered[half - 1] + self._ordered[half]) / 2


class Clock:
    """Divides the time between optimizer steps into training and measuring, as seen from the host.

    Measuring is the time spent in our own code, or, if that is more, what the step took beyond a typical step without
    measuring (hooks inside the backward pass work there), but then at most one typical step more.

    Attributes:
        training: Seconds that training took.
        measuring: Seconds that measuring added.
    """

    def __init__(self) -> None:
        self.training = 0.0
        self.measuring = 0.0
        self._own = 0.0
        self._outside = 0.0
        self._plain = Typical()
        self._last: float | None = None

    def own(self, seconds: float) -> None:
        """Takes down time that our code took in this step."""
        self._own += seconds

    @property
    def owned(self) -> float:
        """Seconds that our code took in this step so far."""
        return self._own

    def outside(self, seconds: float) -> None:
        """Takes down time in this step that is neither training nor per-step measuring (a probe)."""
        self._outside += seconds

    def step_ended(self, measured: bool) -> tuple[float, float]:
        """Ends a step and returns (training seconds, measuring seconds) of it."""
        now = time.perf_counter()
        begun = self._last is not None  # the first step has no beginning, so its length is not known
        whole = self._own if self._last is None else now - self._last - self._outside
        own, self._own, self._outside, self._last = self._own, 0.0, 0.0, now
        typical = self._plain.seconds
        added = own
        if measured and typical is not None:
            added = max(own, min(whole - typical, own + typical))
        plain = max(whole - added, 0.0)
        if typical is not None:
            plain = min(plain, PAUSE * typical)
        if begun and not measured:
            self._plain.add(plain)
        self.training += plain
        self.measuring += added
        return plain, added

    @property
    def typical(self) -> float:
        """Seconds of a typical step without measuring; 0 before the first."""
        return self._plain.seconds or 0.0

    def timings(self) -> dict[str, float | None]:
        """Returns what a run's description says about the time."""
        return {
            "training_seconds": self.training,
            "measuring_seconds": self.measuring,
            "overhead": self.overhead,
        }

    @property
    def overhead(self) -> float | None:
        """Measuring over training time; None before the second step."""
        return self.measuring / self.training if self.training > 0 else None
