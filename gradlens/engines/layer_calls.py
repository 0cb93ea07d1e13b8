"""What the split engine keeps of one call of a layer, from the forward pass until the backward pass reaches it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gradlens.engines.audit import Region
from gradlens.engines.group_sums import GroupSums
from gradlens.engines.layers import attention
from gradlens.engines.layers.kind import LayerKind

CHANGED = "its input was changed in place after the call"


class LayerCall:
    """One call of a covered layer. It holds a reference to the layer's input until the output gradient is known."""

    def __init__(self, region: Region, kind: LayerKind, module: nn.Module, inputs: Tensor, version: int) -> None:
        self.region = region
        self.module = module
        self._kind = kind
        self._inputs: Tensor | None = inputs
        self._version = version

    def refusal(self, rows: int, nodes: Collection[Any]) -> str | None:  # noqa: ARG002
        """Returns why the gradients of this call cannot be told apart by rows, or None if they can.

        Args:
            rows: Number of labels B.
            nodes: The nodes of the graph below the anchors.
        """
        inputs = self._inputs
        assert inputs is not None
        least, most = self._kind.dims(self.module)
        if inputs.is_nested or inputs.ndim < least or (most is not None and inputs.ndim > most):
            return f"its input has {inputs.ndim} dimensions; it needs {least}, and the first must count the samples"
        if inputs.shape[0] != rows:
            return f"its input has {inputs.shape[0]} rows for {rows} labels (shape {list(inputs.shape)})"
        return CHANGED if inputs._version != self._version else None

    def add(self, sums: GroupSums, grad: Tensor) -> None:
        """Adds the call's contributions to the sums, and drops its input.

        Args:
            sums: The vectors of all groups.
            grad: [B, ...] gradient of the layer's output.
        """
        assert self._inputs is not None
        sums.add_layer(self._kind, self.module, self._inputs, grad.detach())
        self.drop()

    def drop(self) -> None:
        """Drops the reference to the input."""
        self._inputs = None


class AttentionCall:
    """One call of MultiheadAttention. After the training's backward pass it is run again on the wanted rows."""

    def __init__(
        self,
        region: Region,
        module: nn.MultiheadAttention,
        params: tuple[nn.Parameter, ...],
        arguments: dict[str, Any],
        weights_node: Any,
        versions: list[int],
    ) -> None:
        self.region = region
        self.module = module
        self._params = params
        self._arguments = arguments
        self._weights_node = weights_node
        self._versions = versions
        self._grads: list[Tensor | None] = []
        device = params[0].device.type
        self._autocast = (device, torch.get_autocast_dtype(device), torch.is_autocast_enabled(device))

    def refusal(self, rows: int, nodes: Collection[Any]) -> str | None:
        """Returns why the gradients of this call cannot be told apart by rows, or None if they can.

        Args:
            rows: Number of labels B.
            nodes: The nodes of the graph below the anchors.
        """
        inputs = self._inputs()
        for tensor in inputs:
            if tensor.is_nested or tensor.ndim != 3 or tensor.shape[0] != rows:
                return f"its input has shape {list(tensor.shape)} for {rows} labels"
        if self._weights_node is not None and self._weights_node in nodes:
            return "the loss uses its attention weights"
        return CHANGED if [tensor._version for tensor in inputs] != self._versions else None

    def add(self, sums: GroupSums, grad: Tensor) -> None:
        """Keeps the wanted rows of the output gradient [B, T, E] for ``finish``."""
        self._grads = [s.weighted(grad.detach()) if s.index.numel() else None for s in sums.selections]

    def finish(self, sums: GroupSums) -> None:
        """Runs the layer again on the wanted rows, and adds the call's contributions to the sums."""
        device, dtype, enabled = self._autocast
        with torch.autocast(device, dtype=dtype, enabled=enabled):
            for number, grad in enumerate(self._grads):
                if grad is None:
                    continue
                found = attention.gradients(self.module, self._arguments, sums.selections[number], grad, self._params)
                for param, gradient in zip(self._params, found, strict=True):
                    if gradient is not None:
                        sums.add(number, param, gradient)
        self.drop()

    def drop(self) -> None:
        """Drops the references to the arguments and gradients."""
        self._arguments, self._grads = {}, []

    def _inputs(self) -> Sequence[Tensor]:
        return [self._arguments[name] for name in ("query", "key", "value")]
