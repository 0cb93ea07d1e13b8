"""``gradlens.observe(outputs, labels)``: a script names the outputs and labels of a loss that gradlens does not know."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor

# Is called with the two arguments of ``observe``, unchecked.
Listener: TypeAlias = Callable[[Any, Any], None]

# Only the newest is called.
_listeners: list[Listener] = []


def observe(outputs: Tensor, labels: Tensor) -> None:
    """Tells ``gradlens track`` which tensor's rows are the samples of the next backward pass. Without it, does nothing.

    Args:
        outputs: [B, ...] tensor that the model has computed and the loss is computed from; for most losses the logits [B, C].
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
    """Sends the arguments of later ``observe`` calls to ``listener``. Returns a function that removes the listener."""
    _listeners.append(listener)

    def leave() -> None:
        _listeners[:] = [other for other in _listeners if other is not listener]

    return leave


def listening() -> bool:
    """Says whether there is a listener: whether a training is being tracked."""
    return bool(_listeners)
