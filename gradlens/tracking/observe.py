"""``gradlens.observe(outputs, labels)``: how a script names its anchor where no cross-entropy call shows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor

# Given whatever a script names, right or wrong.
Listener: TypeAlias = Callable[[Any, Any], None]

# The newest gets what scripts observe.
_listeners: list[Listener] = []


def observe(outputs: Tensor, labels: Tensor) -> None:
    """Tells ``gradlens track`` which tensor's rows are the samples of the coming backward pass. Else does nothing.

    Args:
        outputs: [B, ...] computed by the model, and what the loss is computed from; logits [B, C] for most losses.
        labels: [B] class ids, or [B, C] class masses.

    Example:
        >>> import gradlens, torch
        >>> model, x, y = torch.nn.Linear(2, 3), torch.rand(4, 2), torch.tensor([0, 1, 2, 0])
        >>> logits = model(x)
        >>> gradlens.observe(logits, y)
        >>> loss = (1 - logits.softmax(1)[torch.arange(4), y]).mean()  # a loss that gradlens does not know
        >>> loss.backward()
    """
    if _listeners:
        _listeners[-1](outputs, labels)


def listen(listener: Listener) -> Callable[[], None]:
    """Sends what scripts observe to ``listener``; returns what ends that."""
    _listeners.append(listener)

    def leave() -> None:
        _listeners[:] = [other for other in _listeners if other is not listener]

    return leave


def listening() -> bool:
    """Says whether somebody gets what scripts observe: whether a training is being tracked."""
    return bool(_listeners)
