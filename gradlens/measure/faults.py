"""StepFaults: handles an error of gradlens in a step. The step is not measured, training goes on, and the user is warned."""

from __future__ import annotations

from gradlens.guards.error_text import in_one_line
from gradlens.guards.signal_handlers import from_handler
from gradlens.measure.preflight.refusal import Refusal
from gradlens.measure.recorder import Recorder

# After this many internal errors, measuring stops for good.
FAULTS = 3


class StepFaults:
    """Counts errors and warns about them.

    Attributes:
        strict: Whether errors are raised.
    """

    def __init__(self, *, strict: bool) -> None:
        """Begins with no errors.

        Args:
            strict: Whether errors are raised.
        """
        self.strict = strict
        self._count = 0

    @property
    def over(self) -> bool:
        """Whether there were so many errors that nothing more is measured."""
        return self._count >= FAULTS

    def count(self, error: Exception) -> None:
        """Counts an error. A ``Refusal`` stops measuring at once: each later step would be refused, too."""
        if not from_handler(error):
            self._count += FAULTS if isinstance(error, Refusal) else 1

    def tell(self, error: Exception, recorder: Recorder, step: int) -> None:
        """Warns about an error that was counted.

        Args:
            error: The error.
            recorder: Warns and logs.
            step: The step that is not measured.

        Raises:
            Exception: ``error``, if ``strict``, or if a signal handler of the script raised it.
        """
        if self.strict or from_handler(error):
            raise error
        if isinstance(error, Refusal):
            recorder.warn("refused", step, error.line)
            return
        over = "; measuring stops here" if self.over else ""
        text = f"step {step} could not be measured ({in_one_line(error)}); training is untouched{over}"
        recorder.warn("internal-error", step, text)
