"""The scale of gradient scalers (mixed precision): it is noted at the node of each scaled loss, and taken out of all norms."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from gradlens.autograd.graph import edge_of, walk
from gradlens.guards.error_text import in_one_line
from gradlens.guards.patches import Listeners, Patch
from gradlens.guards.warning import GradlensWarning

KEY = "gradlens.scale"
# How many nodes are searched for the scaled loss. Few lie above it: a division for gradient accumulation, a sum of losses.
SEARCHED = 500

_scaled: bool = False


@dataclass(frozen=True)
class ScaleListener:
    """Listens to gradient scalers, for a lens that measures losses they may scale.

    Attributes:
        wanted: Says whether the scale of the present step is needed.
        fail: Is given an error of gradlens, which must not reach the training.
    """

    wanted: Callable[[], bool]
    fail: Callable[[Exception], None]


def warn_that_scale_is_unknown(error: Exception) -> None:
    """Warns that norms of this step include the scale of a gradient scaler.

    Args:
        error: Why the scale is unknown.
    """
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


# Every gradient scaler of the process notes its scale at the losses that it scales.
SCALE = Patch(torch.amp.GradScaler, "scale", _noting)


def scale_of(losses: Sequence[Tensor]) -> Tensor | None:
    """Returns the scale of the gradient scaler that scaled the losses, or None. It does not wait for a device.

    Args:
        losses: The tensors that are differentiated.
    """
    if not _scaled:
        return None
    for node in walk(map(edge_of, losses), nearest_first=True, most=SEARCHED):
        factor: Tensor | None = node.metadata.get(KEY)
        if factor is not None:
            return factor.detach().clone()  # the scaler changes it in place
    return None


def _note(scaled: Any, factor: Tensor) -> None:
    global _scaled
    for output in tree_leaves(scaled):
        if isinstance(output, Tensor) and output.grad_fn is not None:
            node: Any = output.grad_fn
            node.metadata[KEY] = factor
            _scaled = True
