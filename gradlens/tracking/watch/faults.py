"""Faults: keeps errors of gradlens away from the script that is tracked."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gradlens.tracking.watch.state import State, Watch
from gradlens.tracking.watch.tracebacks import without_own

if TYPE_CHECKING:
    from gradlens.guards.run_once import RunOnce
    from gradlens.tracking.watch.tracker import Tracker


class Faults:
    """Runs code of ours inside of the script's, and takes the errors that it raises.

    Attributes:
        failure: The first error of ours.
    """

    def __init__(self, watch: Watch, give_up: Callable[[Exception], None], *, strict: bool) -> None:
        """Prepares.

        Args:
            watch: What is looked at.
            give_up: Stops what an error leaves without sense.
            strict: Whether errors of ours end the training.
        """
        self._watch, self._give_up, self._strict = watch, give_up, strict
        self.failure: Exception | None = None

    def fail(self, error: Exception) -> None:
        """Takes an error of ours: training goes on without gradlens, or ends if the user wants that.

        Raises:
            Exception: ``error``, where tracking is strict.
        """
        self.failure = self.failure or error
        try:
            self._give_up(error)
        except Exception:
            # The training goes on even where what stops tracking fails; the process's end says what ``failure`` was.
            self._watch.state = self._watch.of_step = State.OFF
        if self._strict:
            raise error

    def quietly(self, action: Callable[..., None], *arguments: Any) -> None:
        """Does something in the middle of the script's own code."""
        try:
            action(*arguments)
        except Exception as error:
            self.fail(error)

    def guarded(self, measured: Callable[[RunOnce], None], call: Callable[[], None]) -> None:
        """Runs ``call``, which is the script's, exactly once, inside of ``measured`` or after it."""
        from gradlens.guards.run_once import RunOnce

        once, watch = RunOnce(call), self._watch
        watch.state = State.BUSY
        try:
            try:
                measured(once)
            except Exception as error:
                if once.error is None:
                    self.fail(error)
            if not once.ran:
                once()
            elif once.error is not None:
                raise once.error.with_traceback(without_own(once.error.__traceback__))
        finally:
            watch.state = watch.of_step


def give_up(tracker: Tracker, error: Exception) -> None:
    """Stops what an error of ours leaves without sense: the measuring of this step, or all of tracking."""
    from gradlens.batch.rows import LabelsError
    from gradlens.guards.error_text import in_one_line

    if tracker.options.strict:
        tracker.stop()
        return
    if isinstance(error, LabelsError):
        tracker.notices.say("labels", f"a step was not measured: {error}")
        if tracker.lens is not None:
            tracker.lens.skip()  # nor are its other backward passes; and other processes need not wait for this one
        return
    tracker.stop()
    text = f"training goes on without being measured (--strict would stop it): {in_one_line(error)}"
    tracker.notices.say("internal-error", text)
    if tracker.lens is not None:
        tracker.lens.halt()
    elif tracker.seen.backward:
        from gradlens.distributed.exchange import stay_away

        stay_away()
