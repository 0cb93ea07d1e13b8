"""Usage: notices that the training does not use its lens, and says why the log stays empty."""

from __future__ import annotations

# After this many steps that were to be measured and had no backward pass through the lens, the user is warned. Fewer are
# usual: a warm-up, or steps of another part of the training.
IDLE_STEPS = 3


class Usage:
    """Counts the backward passes and steps that reach a lens.

    Attributes:
        stepped: Whether the optimizer has stepped.
    """

    def __init__(self) -> None:
        """Begins to count."""
        self.stepped = False
        self._passes = self._idle = 0

    def backward(self) -> None:
        """Counts a backward pass."""
        self._passes += 1

    def idle(self) -> str | None:
        """Counts a step that was to be measured and had no backward pass. Returns a warning, or None."""
        self._idle += 1
        if self._idle == IDLE_STEPS and not self._passes:
            return (
                f"{IDLE_STEPS} steps of the optimizer, and no backward pass through the lens: nothing is measured; "
                "call lens.backward(loss, labels) in place of loss.backward()"
            )
        return None

    def end(self) -> str | None:
        """Returns a warning about the whole training, or None."""
        if self._passes > 1 and not self.stepped:
            return (
                f"{self._passes} backward passes, and no step of the optimizer that the lens was given: nothing was measured; "
                "give Lens(..., optimizer=...) the one that steps"
            )
        return None
