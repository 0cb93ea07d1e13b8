"""Finds the anchors: the outputs of the model whose rows are samples. A hook records outputs in the forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.jit import ScriptModule
from torch.utils._pytree import tree_leaves

from gradlens.batch.rounding import rounding_of
from gradlens.batch.rows import LabelsError, rows_around_classes, rows_lead
from gradlens.guards.module_hook import InstalledHook, StepHook
from gradlens.guards.unseen_hooks import listen

# How many forward passes are remembered between two backward passes. Earlier ones are hardly ever differentiated.
REMEMBERED = 8


class AnchorWatch:
    """Records what the model returns in a measured step, until the backward pass takes it.

    Attributes:
        rounding: Relative rounding error of the reduced precision in which the last forward pass ran; 0 in full precision.
    """

    def __init__(self, model: nn.Module, fail: Callable[[Exception], None]) -> None:
        """Keeps the model; ``arm`` starts to record.

        Args:
            model: The model.
            fail: Is given an error of gradlens' hook, which must not reach the training's forward pass.
        """
        self._model, self._fail = model, fail
        self._handle: InstalledHook | None = None
        self._outputs: list[Any] = []
        self.rounding = 0.0

    def arm(self) -> None:
        """Starts to record."""
        self.disarm()
        if isinstance(self._model, ScriptModule):  # it takes no hooks, so the script or a tracker must name the anchors
            return
        if self._handle is not None and self._handle.fits(self._model):
            self._handle.put_back()
        else:
            self._handle = listen(self._model, StepHook(self._seen, self._fail))

    def disarm(self) -> None:
        """Stops recording, and drops what was recorded."""
        if self._handle is not None:
            self._handle.remove()
        self._outputs.clear()

    def take(self) -> list[Any]:
        """Returns what the model returned since the last call of this method, and drops it."""
        seen, self._outputs = self._outputs, []
        return seen

    def _seen(self, module: nn.Module, args: Any, output: Any) -> None:  # noqa: ARG002
        if torch.is_grad_enabled():
            self._outputs = [*self._outputs[1 - REMEMBERED :], output]
            self.rounding = rounding_of(module)


def row_tensors(outputs: Iterable[Any], labels: Tensor) -> list[Tensor]:
    """Returns the tensors in ``outputs`` whose rows are the rows of the labels. Only tensors with a gradient count.

    Args:
        outputs: What the model returned, or tensors that the user named; in any nesting.
        labels: [*R] class ids, or class masses [R, C] or of the logits' shape.

    Raises:
        LabelsError: There is no such tensor. The message lists the shapes of the outputs.
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
    """Returns all tensors inside a nesting of dicts, sequences and dataclasses."""
    if isinstance(output, Tensor):
        return [output]
    if hasattr(output, "__dataclass_fields__") and not isinstance(output, dict):
        output = [getattr(output, name) for name in output.__dataclass_fields__]
    return [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]


def _has_rows(leaf: Tensor, labels: Tensor) -> bool:
    if labels.is_floating_point():
        return leaf.ndim >= 1 and labels.ndim >= 1 and leaf.shape[0] == labels.shape[0]
    return rows_lead(leaf.shape, labels.shape) or rows_around_classes(leaf.shape, labels.shape)
