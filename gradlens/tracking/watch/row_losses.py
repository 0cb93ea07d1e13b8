"""Watches torch's ``linear_cross_entropy`` in chunks without a reduction: its result is the loss of each row.

Such a call never holds all logits. But its backward pass takes a gradient for each row's loss, and computes the rows' part of all
gradients anew each time. So the losses themselves are the tensor whose rows are samples, and everything before them is measured.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gradlens.autograd.graph import inputs_of
from gradlens.guards.patches import Listeners
from gradlens.guards.script_modes import unseen
from gradlens.tracking.watch.state import State

if TYPE_CHECKING:
    from gradlens.tracking.watch.tracker import Tracker

# A part of the name of the call's node in the graph.
NODE = "linear_cross_entropy_batch_chunked_no_reduction"
# The label that gradlens ignores where a script names outputs and labels.
IGNORED = -100


def watched_row_losses(function: Callable[..., Tensor], trackers: Listeners[Tracker]) -> Callable[..., Tensor]:
    """Returns ``linear_cross_entropy`` that tells a tracker the losses of rows and their labels."""

    @functools.wraps(function)
    def watched(*args: Any, **kwargs: Any) -> Tensor:
        output = function(*args, **kwargs)
        if kwargs.get("reduction") != "none" or kwargs.get("options") is None or torch.compiler.is_compiling():
            return output
        if (tracker := trackers.newest) is not None and tracker.watch.state is State.ALL:
            target = args[2] if len(args) > 2 else kwargs.get("target")
            tracker.faults.quietly(unseen, _tell, tracker, output, target, kwargs.get("ignore_index"))
        return output

    return watched


def _tell(tracker: Tracker, output: Any, target: Any, ignore_index: int | None) -> None:
    node = getattr(output, "grad_fn", None)
    if node is None or not isinstance(target, Tensor) or target.is_floating_point() or output.ndim != 1:
        return
    while node is not None and NODE not in node.name() and len(inputs := inputs_of(node)) == 1:  # a squeeze or a view
        node = inputs[0][0]
    if node is None or NODE not in node.name():
        return
    if ignore_index not in (None, IGNORED):
        target = torch.where(target == ignore_index, IGNORED, target)
    tracker.named(output, target)
