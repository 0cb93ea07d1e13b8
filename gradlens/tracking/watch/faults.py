"""Faults: keeps errors of gradlens out of the tracked script."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gradlens.tracking.watch.state import State, Watch
from gradlens.tracking.watch.tracebacks import without_own

if TYPE_CHECKING:
    from gradlens.guards.run_once import RunOnce
    from gradlens.tracking.watch.tracker import Tracker


class Faults:
    """Runs code of gradlens inside the script's calls, and handles the errors that it raises.

    Attributes:
        failure: The first error of gradlens, or None.
    """

    def __init__(self, watch: Watch, give_up: Callable[[Exception], None], *, strict: bool) -> None:
        """Keeps its arguments.

        Args:
            watch: Says what the patched functions look at.
            give_up: Stops measuring the step, or all of tracking, after an error.
            strict: Whether errors of gradlens end the training.
        """
        self._watch, self._give_up, self._strict = watch, give_up, strict
        self.failure: Exception | None = None

    def fail(self, error: Exception) -> None:
        """Handles an error of gradlens. The training goes on without gradlens, or ends if the user has asked for that.

        Raises:
            Exception: ``error``, if tracking is strict, or if a signal handler of the script raised it.
        """
        from gradlens.guards.signal_handlers import from_handler

        if from_handler(error):
            raise error
        self.failure = self.failure or error
        try:
            self._give_up(error)
        except Exception:
            # The training goes on even if ``give_up`` fails. ``failure`` is printed at the end of the process.
            self._watch.state = self._watch.of_step = State.OFF
        if self._strict:
            raise error

    def quietly(self, action: Callable[..., None], *arguments: Any) -> None:
        """Calls ``action`` inside the script's own code, and handles its errors."""
        try:
            action(*arguments)
        except Exception as error:
            self.fail(error)

    def guarded(self, measured: Callable[[RunOnce], None], call: Callable[[], None]) -> None:
        """Runs ``call`` of the script exactly once: inside ``measured``, or after it.

        Args:
            measured: Is given the call; runs and measures it, or does not run it.
            call: The script's call.

        Raises:
            BaseException: ``call`` has raised it.
        """
        from gradlens.guards.run_once import RunOnce
        from gradlens.guards.script_modes import unseen

        once, watch = RunOnce(call), self._watch
        watch.state, watch.busy_for = State.BUSY, once
        try:
            try:
                unseen(measured, once)
            except Exception as error:
                if once.error is None:
                    self.fail(error)
            if not once.ran:
                once()
            elif once.error is not None:
                raise once.error.with_traceback(without_own(once.error.__traceback__))
        finally:
            if watch.busy_for is once:
                watch.state = watch.of_step


def give_up(tracker: Tracker, error: Exception) -> None:
    """Stops measuring after an error of gradlens: this step only if its labels are wrong, otherwise all of tracking."""
    from gradlens.batch.rows import LabelsError
    from gradlens.guards.error_text import in_one_line

    if tracker.options.strict:
        tracker.stop()
        return
    if isinstance(error, LabelsError):
        tracker.notices.say("labels", f"a step was not measured: {error}")
        if tracker.lens is not None:
            tracker.lens.skip()  # for the step's other backward passes, and so that no other process waits for this one
        return
    tracker.stop()
    text = f"training goes on without being measured (--strict would stop it): {in_one_line(error)}"
    tracker.notices.say("internal-error", text)
    if tracker.lens is not None:
        tracker.lens.halt()
    elif tracker.seen.backward:
        from gradlens.distributed.exchange import stay_away

        stay_away()
