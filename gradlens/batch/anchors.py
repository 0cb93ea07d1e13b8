"""Anchors: the model's outputs whose rows are samples, caught as the forward pass makes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.jit import ScriptModule
from torch.utils._pytree import tree_leaves

from gradlens.batch.rounding import rounding_of
from gradlens.batch.rows import LabelsError, rows_around_classes, rows_lead
from gradlens.guards.module_hook import Listening, StepHook
from gradlens.guards.unseen_hooks import listen

# Forward passes that are remembered between two backward passes; more can only be passes that nobody differentiates.
REMEMBERED = 8


class AnchorWatch:
    """Remembers what the model returned since the last backward pass, on the steps that are measured.

    Attributes:
        rounding: Relative rounding of the reduced precision in which the last forward pass ran; 0 without one.
    """

    def __init__(self, model: nn.Module, fail: Callable[[Exception], None]) -> None:
        """Prepares.

        Args:
            model: The model.
            fail: Takes errors of ours, which must not reach the forward pass of the training.
        """
        self._model, self._fail = model, fail
        self._handle: Listening | None = None
        self._outputs: list[Any] = []
        self.rounding = 0.0

    def arm(self) -> None:
        """Starts to watch."""
        self.disarm()
        if isinstance(self._model, ScriptModule):  # takes no hooks: anchors are named, by the script or by a tracker
            return
        self._handle = listen(self._model, StepHook(self._seen, self._fail))

    def disarm(self) -> None:
        """Stops and forgets."""
        if self._handle is not None:
            self._handle.remove()
        self._handle = None
        self._outputs.clear()

    def take(self) -> list[Any]:
        """Returns what was seen since the last call, and forgets it."""
        seen, self._outputs = self._outputs, []
        return seen

    def _seen(self, module: nn.Module, args: Any, output: Any) -> None:  # noqa: ARG002
        if torch.is_grad_enabled():
            self._outputs = [*self._outputs[1 - REMEMBERED :], output]
            self.rounding = rounding_of(module)


def row_tensors(outputs: Iterable[Any], labels: Tensor) -> list[Tensor]:
    """Returns the tensors in ``outputs`` (any nesting) whose leading dimensions are those of the labels' rows.

    Args:
        outputs: What the model returned, or tensors that the user named.
        labels: [*R] class ids, or class masses [R, C] or of the logits' shape.

    Raises:
        LabelsError: No such tensor; the message lists the shapes that were there.
    """
    leaves = [leaf for output in outputs for leaf in tensors_in(output)]
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    found = [leaf for leaf in wanted if _has_rows(leaf, labels)]
    if found:
        return list({id(leaf): leaf for leaf in found}.values())
    if not leaves:
        raise LabelsError(
            "no output of the model was seen since the last backward pass: is it the model that the lens was given? Call the "
            "model itself (not its .forward), or name the tensor whose rows are the samples: "
            "lens.backward(loss, labels, outputs=logits)"
        )
    shapes = ", ".join(str(list(leaf.shape)) for leaf in leaves[:6])
    raise LabelsError(
        f"labels of shape {list(labels.shape)} fit none of the model's outputs ({shapes}): their first dimension must count "
        "the samples; give one label for each row, or name the fitting tensor: lens.backward(loss, labels, outputs=logits)"
    )


def tensors_in(output: Any) -> list[Tensor]:
    """Returns the tensors of any nesting of dicts, sequences and dataclasses."""
    if isinstance(output, Tensor):
        return [output]
    if hasattr(output, "__dataclass_fields__") and not isinstance(output, dict):
        output = [getattr(output, name) for name in output.__dataclass_fields__]
    return [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]


def _has_rows(leaf: Tensor, labels: Tensor) -> bool:
    if labels.is_floating_point():
        return leaf.ndim >= 1 and labels.ndim >= 1 and leaf.shape[0] == labels.shape[0]
    return rows_lead(leaf.shape, labels.shape) or rows_around_classes(leaf.shape, labels.shape)
