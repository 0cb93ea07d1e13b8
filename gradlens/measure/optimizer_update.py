"""OptimizerUpdate: what an optimizer step takes off the parameters."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


class OptimizerUpdate:
    """The difference that a step makes, from a copy of the parameters before it."""

    def __init__(self) -> None:
        """Nothing is noted yet."""
        self._before: list[Tensor] | None = None

    def note(self, params: Sequence[Tensor]) -> None:
        """Copies the parameters; to be called before the step."""
        self._before = [param.detach().clone() for param in params]

    def forget(self) -> None:
        """Drops what was noted."""
        self._before = None

    def taken(self, params: Sequence[Tensor]) -> list[Tensor | None] | None:
        """Returns what the step took off each parameter, and drops what was noted; None where nothing was noted."""
        before, self._before = self._before, None
        if before is None:
            return None
        return [old - new.detach() for old, new in zip(before, params, strict=True)]
