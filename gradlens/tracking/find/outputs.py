"""Outputs: remembers what the model was given and has returned, for trainings whose loss is written by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gradlens.batch.anchors import tensors_in
from gradlens.guards.module_hook import InstalledHook, StepHook
from gradlens.guards.unseen_hooks import listen

# The latest forward passes that are remembered between two backward passes.
REMEMBERED = 8


class Outputs:
    """Remembers inputs and outputs of modules since the last backward pass."""

    def __init__(
        self, modules: Sequence[nn.Module], wanted: Callable[[], bool], fail: Callable[[Exception], None]
    ) -> None:
        """Begins to watch.

        Args:
            modules: The model, or its parts.
            wanted: Says whether outputs are needed now.
            fail: Is given each error of gradlens, which must not reach the training's forward pass.
        """
        self._modules, self._wanted, self._fail = modules, wanted, fail
        self._seen: list[Any] = []
        self._given: list[Any] = []
        self._handles: list[InstalledHook] = []
        self.resume()

    def resume(self) -> None:
        """Starts to watch, unless it does already."""
        if not self._handles:
            for module in self._modules:
                self._handles.append(listen(module, StepHook(self._ran, self._fail)))

    def take(self) -> list[Tensor]:
        """Returns the differentiable tensors among the outputs, each once, and forgets them."""
        seen, self._seen = self._seen, []
        found = [t for output in seen for t in tensors_in(output) if t.requires_grad and t.is_floating_point()]
        return list({id(tensor): tensor for tensor in found}.values())

    def take_inputs(self) -> list[Tensor]:
        """Returns the tensors among the inputs of the modules, and forgets them."""
        given, self._given = self._given, []
        return [tensor for args in given for tensor in tensors_in(args)]

    def stop(self) -> None:
        """Stops watching, and forgets everything."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._seen.clear()
        self._given.clear()

    def _ran(self, module: nn.Module, args: Any, output: Any) -> None:  # noqa: ARG002
        if torch.is_grad_enabled() and self._wanted():
            self._seen = [*self._seen[1 - REMEMBERED :], output]
            self._given = [*self._given[1 - REMEMBERED :], args]
