"""The scale of gradient scalers (mixed precision): remembered in the graph of a scaled loss, so that norms can leave it out."""

from __future__ import annotations

import functools
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from gradlens.guards.error_text import in_one_line
from gradlens.guards.patches import Listeners, Patch
from gradlens.guards.warning import GradlensWarning

KEY = "gradlens.scale"
# Nodes between what is differentiated and the scaled loss: a division for gradient accumulation, a sum of a few losses.
SEARCHED = 500

_scaled: bool = False


@dataclass(frozen=True)
class ScaleListener:
    """Somebody who measures losses that may be scaled.

    Attributes:
        wanted: Whether the scale of the present step matters.
        fail: Takes errors of ours, which must not reach the training.
    """

    wanted: Callable[[], bool]
    fail: Callable[[Exception], None]


def warn_that_scale_is_unknown(error: Exception) -> None:
    """Warns that norms may include the scale of a gradient scaler."""
    text = f"the scale of a gradient scaler was not noted ({in_one_line(error)}); norms of this step include it"
    warnings.warn(f"gradlens: {text}", GradlensWarning, stacklevel=2)


def _noting(ordinary: Callable[..., Any], listeners: Listeners[ScaleListener]) -> Callable[..., Any]:
    @functools.wraps(ordinary)
    def scale(self: torch.amp.GradScaler, outputs: Any) -> Any:
        scaled = ordinary(self, outputs)
        for listener in listeners.all:
            try:
                if not listener.wanted():  # in most steps nobody needs it, so this comes first
                    continue
                factor = getattr(self, "_scale", None)
                if isinstance(factor, Tensor) and self.is_enabled():
                    _note(scaled, factor)
                    break
            except Exception as error:
                listener.fail(error)
        return scaled

    return scale


# Every gradient scaler of the process leaves its scale at the losses that it scales.
SCALE = Patch(torch.amp.GradScaler, "scale", _noting)


def scale_of(losses: Sequence[Tensor]) -> Tensor | None:
    """Returns the scale of the gradient scaler that losses went through, or None; no synchronisation with a device.

    Args:
        losses: What is differentiated.
    """
    if not _scaled:
        return None
    waiting: deque[Any] = deque(loss.grad_fn for loss in losses if loss.grad_fn is not None)
    seen = set(waiting)
    while waiting and len(seen) < SEARCHED:
        node = waiting.popleft()
        factor: Tensor | None = node.metadata.get(KEY)
        if factor is not None:
            return factor.detach().clone()  # the scaler changes it in place
        for child, _ in node.next_functions:
            if child is not None and child not in seen:
                seen.add(child)
                waiting.append(child)
    return None


def _note(scaled: Any, factor: Tensor) -> None:
    global _scaled
    for output in tree_leaves(scaled):
        if isinstance(output, Tensor) and output.grad_fn is not None:
            node: Any = output.grad_fn
            node.metadata[KEY] = factor
            _scaled = True
