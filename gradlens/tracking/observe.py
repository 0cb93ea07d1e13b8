"""``gradlens.observe(outputs, labels)``: how a script names its anchor where no cross-entropy call shows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor

# Given whatever a script names, right or wrong.
Listener: TypeAlias = Callable[[Any, Any], None]

_listener: Listener | None = None


def observe(outputs: Tensor, labels: Tensor) -> None:
    """Tells ``gradlens track`` which tensor's rows are the samples of the coming backward pass. Else does nothing.

    Args:
        outputs: [B, ...] computed by the model, and what the loss is computed from; logits [B, C] for most losses.
        labels: [B] class ids, or [B, C] class masses.
    """
    if _listener is not None:
        _listener(outputs, labels)


def listen(listener: Listener | None) -> None:
    """Sends what scripts observe to ``listener``; None: to nobody."""
    global _listener
    _listener = listener


def listening() -> bool:
    """Says whether somebody gets what scripts observe: whether a training is being tracked."""
    return _listener is not None
