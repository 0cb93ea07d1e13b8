"""Clock: measures how long training steps take, and how much time measuring adds."""

from __future__ import annotations

import time
from collections import deque
from statistics import median

# The typical step is the median of this many steps without measuring.
WINDOW = 51
# A pause (an evaluation, a breakpoint) counts as at most this many typical steps of training.
PAUSE = 5.0
# About how many seconds gradlens' hooks take in a step that is not measured. It is too short to be timed in each step.
HOOKS = 12e-6
# Beside what grows with the network, a measurement may take this many seconds outside of gradlens' own code: in hooks inside the
# backward pass, in the search for labels, or in the step after it, which finds other code in the processor's caches.
HIDDEN = 5e-3


class Clock:
    """Divides the time between optimizer steps into training and measuring, as seen from the host.

    The time of measuring in a step is the time spent in gradlens' own code, or, if that is more, the time by which the step
    was longer than a typical step without measuring: gradlens' hooks work inside the backward pass, too. But it is at most the
    time in own code plus one typical step, or plus ``HIDDEN`` if that is more. The step after it may be longer than a typical
    one for the same reason; that is added to the next measurement.

    Attributes:
        passed: The moments at which steps without measuring ended. They are only noted here; ``_account`` adds them up later.
    """

    def __init__(self) -> None:
        self.passed: list[float] = []
        self._steps = 0
        self._measuring = 0.0
        self._training = 0.0
        self._unreported = 0.0
        self._own = 0.0
        self._outside = 0.0
        # The durations of the newest steps without measuring, and their median (0 before the first).
        self._plain: deque[float] = deque(maxlen=WINDOW)
        self._typical = 0.0
        self._unmeasured = 0
        # The duration of the first of them. It earns nothing before the second shows whether it was a pause.
        self._first: float | None = None
        # Whether the step before was measured, and by how much the steps after measured ones were longer, not returned yet.
        self._follows, self._late = False, 0.0
        self._last: float | None = None

    @property
    def steps(self) -> int:
        """Number of steps that have ended."""
        return self._steps + len(self.passed)

    def own(self, seconds: float) -> None:
        """Adds seconds that gradlens' own code took in this step."""
        self._account()
        self._own += seconds

    @property
    def owned(self) -> float:
        """Seconds that gradlens' own code took in this step so far."""
        return self._own

    def outside(self, seconds: float) -> None:
        """Adds seconds of this step that are neither training nor measuring of the step (a probe)."""
        self._account()
        self._outside += seconds

    def step_ended(self, measured: bool) -> tuple[float, float]:
        """Ends a step.

        Args:
            measured: Whether the step was measured.

        Returns:
            Seconds of training that were not returned before, and the seconds of measuring in this step.
        """
        typical = self.typical
        own, last = self._own, self._last
        if not measured or last is None:
            self.passed.append(time.perf_counter())
            return self.settle(), own
        now = time.perf_counter()
        whole = now - last - self._outside
        added = max(own, min(whole - typical, own + max(typical, HIDDEN))) if typical else own
        self._train(max(whole - added, 0.0))
        self._measuring += added
        self._steps += 1
        self._own, self._outside, self._last = 0.0, 0.0, now
        late, self._follows, self._late = self._late, True, 0.0
        return self.settle(), added + late

    def settle(self) -> float:
        """Returns the seconds of training, until the end of the last step, that were not returned before."""
        self._account()
        found, self._unreported = self._unreported, 0.0
        return found

    @property
    def now(self) -> float:
        """The moment at which the last step ended; before the first, the present moment."""
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
        return self._training + (0.0 if self._plain else self._first or 0.0)

    @property
    def measuring(self) -> float:
        """Seconds that measuring added, with what the hooks took in steps that were not measured."""
        self._account()
        return self._measuring + HOOKS * self._unmeasured

    @property
    def overhead(self) -> float | None:
        """Measuring over training time; None before the second step."""
        return self.measuring / self.training if self.training > 0 else None

    def timings(self) -> dict[str, float | None]:
        """Returns the fields of a run's description about time, in seconds; ``overhead`` is a fraction."""
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
            if self._last is not None:  # when the first step began is not known, and so is its length not
                waiting.append(self._without_late(now - self._last - self._outside - self._own))
                self._unmeasured += 1
            self._measuring += self._own
            self._own, self._outside, self._last = 0.0, 0.0, now
        self._steps += len(self.passed)
        self.passed.clear()
        if not self._plain:
            waiting = self._with_first(waiting)
        # A pause is found by comparison with the typical step so far. So at the beginning, steps are added one by one.
        part = WINDOW if self._plain else 1
        while waiting:
            self._plain.extend([self._train(max(seconds, 0.0)) for seconds in waiting[:part]])
            self._typical = median(self._plain)
            waiting, part = waiting[part:], WINDOW

    def _with_first(self, waiting: list[float]) -> list[float]:
        """Returns the first steps as soon as there are two. The first counts as at most PAUSE times the second."""
        if waiting and self._first is None:
            self._first = self._typical = max(waiting.pop(0), 0.0)
        if not waiting or self._first is None:
            return []
        return [min(self._first, PAUSE * max(waiting[0], 0.0)), *waiting]

    def _without_late(self, seconds: float) -> float:
        """Returns the time of a step without what the measurement before it has added."""
        if not self._follows:
            return seconds
        self._follows = False
        late = max(0.0, min(seconds - self._typical, self._typical, HIDDEN))
        self._measuring += late
        self._late += late
        return seconds - late

    def _train(self, seconds: float) -> float:
        """Adds the time of a step to training, at most PAUSE typical steps. Returns the seconds that it has added."""
        if self._plain:
            seconds = min(seconds, PAUSE * self._typical)
        self._training += seconds
        self._unreported += seconds
        return seconds
