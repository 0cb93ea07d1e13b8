"""StepFaults: what becomes of an error of ours in a step. The step is not measured, training goes on, and somebody is told."""

from __future__ import annotations

from gradlens.guards.error_text import in_one_line
from gradlens.measure.preflight.refusal import Refusal
from gradlens.measure.recorder import Recorder

# After so many internal errors measuring stops for good.
FAULTS = 3


class StepFaults:
    """Counts errors and tells of them.

    Attributes:
        strict: Whether they are raised.
    """

    def __init__(self, *, strict: bool) -> None:
        """Begins without any.

        Args:
            strict: Whether they are raised.
        """
        self.strict = strict
        self._count = 0

    @property
    def over(self) -> bool:
        """Whether there were so many that nothing more is measured."""
        return self._count >= FAULTS

    def count(self, error: Exception) -> None:
        """Counts an error; what is refused now would be refused in each step."""
        self._count += FAULTS if isinstance(error, Refusal) else 1

    def tell(self, error: Exception, recorder: Recorder, step: int) -> None:
        """Tells of an error that was counted.

        Args:
            error: It.
            recorder: Warns and logs.
            step: The step that is not measured.

        Raises:
            Exception: ``error``, where measuring is strict.
        """
        if self.strict:
            raise error
        if isinstance(error, Refusal):
            recorder.warn("refused", step, error.line)
            return
        over = "; measuring stops here" if self.over else ""
        text = f"step {step} could not be measured ({in_one_line(error)}); training is untouched{over}"
        recorder.warn("internal-error", step, text)
