"""TrainingState: saves what gradlens' own passes could change before they run, and restores it after them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import is_
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.grad_mode import _unsafe_preserve_version_counter
from torch.jit import ScriptModule

from gradlens.guards.module_walk import modules_of
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
        modules = modules_of(model)
        # The dicts of attributes and buffers, and copies of them. A ScriptModule holds no Python state.
        self._dicts = [
            (held, {**held})
            for module in modules
            if not isinstance(module, ScriptModule)
            for held in (module.__dict__, module._buffers)
        ]
        self._items = _items(self._dicts)
        buffers = {id(b): b for module in modules if module._buffers for b in module._buffers.values() if b is not None}
        self._buffers = [(buffer, buffer.detach().clone()) for buffer in buffers.values() if _is_plain(buffer)]
        self._gradients = [(param, param.grad, _version(param.grad), _copy(param.grad)) for param in params]
        self.gradients_written = False
        self._passes = OwnPass().begin()

    def restore(self) -> None:
        """Ends the own passes and restores everything. It may be called again until the training goes on."""
        self._passes.end()
        self._random.restore()
        items = _items(self._dicts)
        if len(items) != len(self._items) or not all(map(is_, items, self._items)):
            for held, before in self._dicts:
                _put_back(held, before)
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


def _items(dicts: Iterable[tuple[dict[str, Any], dict[str, Any]]]) -> list[Any]:
    """Returns the present keys and values of all dicts in one list, to compare them by identity."""
    found: list[Any] = []
    for held, _ in dicts:
        found += held
        found += held.values()
    return found


def _write(tensor: Tensor, values: Tensor) -> None:
    # Autograd may have saved this tensor. The version counter must not rise, or its backward pass would refuse to run.
    with torch.no_grad(), _unsafe_preserve_version_counter(tensor):
        tensor.copy_(values)


def _version(gradient: Tensor | None) -> int:
    return -1 if gradient is None else gradient._version


def _copy(gradient: Tensor | None) -> Tensor | None:
    return None if gradient is None else gradient.detach().clone()
