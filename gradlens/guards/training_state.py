"""TrainingState: saves what gradlens' own passes could change before they run, and restores it after them."""

from __future__ import annotations

from collections.abc import Sequence
from operator import is_
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.grad_mode import _unsafe_preserve_version_counter
from torch.jit import ScriptModule

from gradlens.guards.own_pass import OwnPass
from gradlens.guards.random_state import RandomState

WRITES_GRADIENTS = (
    "a function of the model runs a backward pass inside its own backward pass and adds to .grad there (reversible layers, "
    "checkpointing by hand), so the passes of a measurement add to .grad, too; what they added has been removed"
)


class TrainingState:
    """The random numbers, the buffers and attributes of modules, and ``.grad``, as the training left them.

    This matters because activation checkpointing runs a part of the forward pass again in every backward pass. Each time it
    moves running statistics, runs the power iteration of a spectral norm, and lets a module count its calls. The training's
    own pass does this once.

    Attributes:
        gradients_written: Whether own passes wrote to ``.grad``; known after ``restore``.
    """

    def __init__(self, model: nn.Module, params: Sequence[nn.Parameter]) -> None:
        """Saves the state. Every pass from now on counts as gradlens' own, until ``restore``.

        Args:
            model: The model.
            params: The measured parameters.
        """
        self._random = RandomState(param.device for param in params)
        modules = [
            module for module in model.modules() if not isinstance(module, ScriptModule)
        ]  # a ScriptModule holds no Python state
        self._attributes = [(module, dict(vars(module)), dict(module._buffers)) for module in modules]
        buffers = {id(b): b for module in model.modules() for b in module._buffers.values() if b is not None}
        self._buffers = [(buffer, buffer.detach().clone()) for buffer in buffers.values() if _is_plain(buffer)]
        self._gradients = [(param, param.grad, _version(param.grad), _copy(param.grad)) for param in params]
        self.gradients_written = False
        self._passes = OwnPass().begin()

    def restore(self) -> None:
        """Ends the own passes and restores everything. It may be called again until the training goes on."""
        self._passes.end()
        self._random.restore()
        for module, attributes, buffers in self._attributes:
            _put_back(vars(module), attributes)
            _put_back(module._buffers, buffers)
        for buffer, values in self._buffers:
            # The version counter does not help: batch normalisation moves its statistics without raising it. Buffers on a
            # GPU are written without a comparison, which would wait for the device.
            if _can_be_written(buffer) or not torch.equal(buffer, values):
                _write(buffer, values)
        for param, gradient, written, copied in self._gradients:
            if param.grad is not gradient or _version(gradient) != written:
                self.gradients_written = True
                if gradient is not None and copied is not None and _version(gradient) != written:
                    _write(gradient, copied)
                param.grad = gradient


def _is_plain(buffer: Tensor) -> bool:
    return type(buffer) in (Tensor, nn.Buffer) and buffer.layout is torch.strided and not buffer.is_meta


def _can_be_written(buffer: Tensor) -> bool:
    """Says whether a buffer is restored without a comparison: it is not on the CPU, and no two entries share memory.

    The entries of an expanded tensor share memory, and torch refuses to write them.
    """
    return buffer.device.type != "cpu" and torch._prims_common.is_non_overlapping_and_dense_or_false(buffer)


def _put_back(current: dict[str, Any], before: dict[str, Any]) -> None:
    if (
        len(current) != len(before)
        or not all(map(is_, current, before))
        or not all(map(is_, current.values(), before.values()))
    ):
        current.clear()
        current.update(before)


def _write(tensor: Tensor, values: Tensor) -> None:
    # Autograd may have saved this tensor. The version counter must not rise, or its backward pass would refuse to run.
    with torch.no_grad(), _unsafe_preserve_version_counter(tensor):
        tensor.copy_(values)


def _version(gradient: Tensor | None) -> int:
    return -1 if gradient is None else gradient._version


def _copy(gradient: Tensor | None) -> Tensor | None:
    return None if gradient is None else gradient.detach().clone()
