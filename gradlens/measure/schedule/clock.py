"""Clock: how long training steps take, and how much of that measuring adds."""

from __future__ import annotations

import time
from collections import deque
from statistics import median

# Steps without measuring whose durations the typical step is taken from.
WINDOW = 51
# A pause (an evaluation, a breakpoint) counts as no more than so many typical steps of training.
PAUSE = 5.0


class Clock:
    """Divides the time between optimizer steps into training and measuring, as seen from the host.

    Measuring is the time spent in our own code, or, if that is more, what the step took beyond a typical step without
    measuring (hooks inside the backward pass work there), but then at most one typical step more.

    Attributes:
        passed: When those steps without measuring ended that are not accounted for yet, which is more work than to note them.
    """

    def __init__(self) -> None:
        self.passed: list[float] = []
        self._steps = 0
        self._measuring = 0.0
        self._training = 0.0
        self._unreported = 0.0
        self._own = 0.0
        self._outside = 0.0
        # The newest durations of steps without measuring, and their median: 0 before the first.
        self._plain: deque[float] = deque(maxlen=WINDOW)
        self._typical = 0.0
        self._last: float | None = None

    @property
    def steps(self) -> int:
        """How many steps have ended."""
        return self._steps + len(self.passed)

    def own(self, seconds: float) -> None:
        """Takes down time that our code took in this step."""
        self._account()
        self._own += seconds

    @property
    def owned(self) -> float:
        """Seconds that our code took in this step so far."""
        return self._own

    def outside(self, seconds: float) -> None:
        """Takes down time in this step that is neither training nor per-step measuring (a probe)."""
        self._account()
        self._outside += seconds

    def step_ended(self, measured: bool) -> tuple[float, float]:
        """Ends a step; returns the seconds of training until now that were not returned before, and those of measuring it."""
        typical = self.typical
        own, last = self._own, self._last
        if not measured or last is None:
            self.passed.append(time.perf_counter())
            return self.settle(), own
        now = time.perf_counter()
        whole = now - last - self._outside
        added = max(own, min(whole - typical, own + typical)) if typical else own
        self._train(max(whole - added, 0.0))
        self._measuring += added
        self._steps += 1
        self._own, self._outside, self._last = 0.0, 0.0, now
        return self.settle(), added

    def settle(self) -> float:
        """Returns the seconds of training until the end of the last step that were not returned before."""
        self._account()
        found, self._unreported = self._unreported, 0.0
        return found

    @property
    def now(self) -> float:
        """The moment at which the last step ended; the present one before that."""
        self._account()
        return time.perf_counter() if self._last is None else self._last

    @property
    def typical(self) -> float:
        """Seconds of a typical step without measuring; 0 before the first."""
        self._account()
        return self._typical

    @property
    def training(self) -> float:
        """Seconds that training took."""
        self._account()
        return self._training

    @property
    def measuring(self) -> float:
        """Seconds that measuring added."""
        self._account()
        return self._measuring

    @property
    def overhead(self) -> float | None:
        """Measuring over training time; None before the second step."""
        return self.measuring / self.training if self.training > 0 else None

    def timings(self) -> dict[str, float | None]:
        """Returns what a run's description says about the time."""
        return {
            "training_seconds": self.training,
            "measuring_seconds": self.measuring,
            "overhead": self.overhead,
        }

    def _account(self) -> None:
        if not self.passed:
            return
        waiting: list[float] = []
        for now in self.passed:
            if self._last is not None:  # the first step has no beginning, so its length is not known
                waiting.append(now - self._last - self._outside - self._own)
            self._measuring += self._own
            self._own, self._outside, self._last = 0.0, 0.0, now
        self._steps += len(self.passed)
        self.passed.clear()
        # A pause among them is told from what was typical before: at the beginning each step is looked at by itself.
        part = WINDOW if self._plain else 1
        while waiting:
            self._plain.extend([self._train(max(seconds, 0.0)) for seconds in waiting[:part]])
            self._typical = median(self._plain)
            waiting, part = waiting[part:], WINDOW

    def _train(self, seconds: float) -> float:
        """Adds training time and returns it: of a pause only some of it counts."""
        if self._plain:
            seconds = min(seconds, PAUSE * self._typical)
        self._training += seconds
        self._unreported += seconds
        return seconds
