"""Repeatable: checks that a backward pass gives the same gradient when it runs twice. Every measurement needs that."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction

from gradlens.autograd.arithmetic import relative_difference
from gradlens.autograd.grads import Grads
from gradlens.autograd.inner_products import dense
from gradlens.autograd.pull_back import gradients
from gradlens.autograd.shards import local
from gradlens.measure.preflight.reachable_state import COPIED, ReachableState, restorer
from gradlens.measure.preflight.refusal import Refusal
from gradlens.measure.preflight.registered import registered

# Relative difference of two passes that is accepted: kernels with atomics add up in any order.
NOISE = 1e-4
ROUNDINGS = 4.0


class Repeatable:
    """Finds the script's own autograd functions, and has each new kind run twice before it is trusted."""

    def __init__(self) -> None:
        self._trusted: frozenset[Any] | None = None

    def begin(self, nodes: Sequence[Any]) -> RepeatedPasses:
        """Saves the state of the functions of a graph; see ``RepeatedPasses``."""
        functions = [node for node in nodes if is_of_script(node)]
        kinds = frozenset(type(node) for node in functions)
        return RepeatedPasses(functions, new=kinds != self._trusted, on_same=lambda: self._trust(kinds))

    def _trust(self, kinds: frozenset[Any]) -> None:
        self._trusted = kinds


class RepeatedPasses:
    """gradlens' own passes over one graph."""

    def __init__(self, functions: Sequence[Any], *, new: bool, on_same: Callable[[], None]) -> None:
        """Saves the state that the functions may change.

        Args:
            functions: Nodes of the script's own functions.
            new: Whether these kinds of functions have not been checked yet. Then all their saved tensors are copied, else the
                small ones on the CPU: a function may change them in some steps only.
            on_same: Is called when two passes have given the same gradient.
        """
        self._functions, self.new, self._on_same = functions, new, on_same
        self._state = ReachableState([*functions, *map(written, functions)])
        self._saved = [restorer(saved) for node in functions for saved in _saved(node) if new or _is_cheap(saved)]
        self._changed = False

    def restore(self) -> bool:
        """Restores the state. Returns whether anything has changed since the beginning."""
        undone = [undo() for undo in self._saved]
        self._changed = self._state.restore() or any(undone) or self._changed
        return self._changed

    def check(self, losses: Sequence[Tensor], anchors: Sequence[Tensor], params: Sequence[nn.Parameter]) -> None:
        """Pulls the losses back twice and compares the gradients, unless these kinds of functions were checked before.

        Args:
            losses: The losses that are differentiated.
            anchors: The tensors whose rows are the samples.
            params: The parameters where they end.

        Raises:
            Refusal: The results differ.
        """
        if not self.new:
            return None
        drawn = _random_state(params)
        try:
            first, second = (gradients(losses, params, list(map(torch.ones_like, losses))) for _ in range(2))
        except RuntimeError as error:
            if self.restore():
                raise Refusal(f"{self._names()} changes what it has saved while it runs") from error
            raise
        moved = drawn != _random_state(params)
        changed = self.restore()
        if _same(first, second):
            return self._on_same()
        if changed:
            raise Refusal(
                f"{self._names()} gives another gradient each time it runs: it draws from a generator of its own, counts, or "
                "changes what it saved (which has been put back)"
            )
        if moved:
            raise Refusal(
                "a backward pass draws random numbers and gives another gradient each time (checkpointing with "
                "preserve_rng_state=False, or noise on gradients)"
            )
        gap = float(relative_difference(first, second))
        rounding = max(torch.finfo(tensor.dtype).eps for tensor in (*losses, *anchors, *params))
        host = all(param.device.type == "cpu" for param in params)
        if gap > max(NOISE, ROUNDINGS * rounding) or (host and self._functions):
            if not self._functions:
                raise Refusal(
                    "a layer that runs again in each backward pass (activation checkpointing) gives another gradient each time; "
                    "its attributes, buffers and random numbers have been put back",
                    touched=True,
                )
            raise Refusal(
                f"{self._names()} gives another gradient each time it runs (two passes differ by {gap:.1e} of its size); what "
                "it keeps was not found and not put back, so this training may differ from one without gradlens",
                touched=True,
            )
        return self._on_same()

    def _names(self) -> str:
        return "the autograd function " + ", ".join(dict.fromkeys(written(n).__qualname__ for n in self._functions))


def is_of_script(node: Any) -> bool:
    """Says whether a node of a graph is an autograd function in Python that is not of torch or gradlens."""
    return isinstance(node, BackwardCFunction) and not str(written(node).__module__).startswith(("torch.", "gradlens."))


def written(node: Any) -> Any:
    """Returns what somebody has written for a node of an autograd function in Python: the class, or a registered backward."""
    kind = type(node)._forward_cls
    return registered(kind) or kind


def _saved(node: Any) -> Sequence[Tensor]:
    return [saved for saved in node.saved_tensors if isinstance(saved, Tensor)]


def _is_cheap(saved: Tensor) -> bool:
    return saved.device.type == "cpu" and saved.numel() <= COPIED


def _same(first: Grads, second: Grads) -> bool:
    return all(
        (a is None and b is None) or (a is not None and b is not None and _equal(dense(local(a)), dense(local(b))))
        for a, b in zip(first, second, strict=True)
    )


def _equal(a: Tensor, b: Tensor) -> bool:
    return torch.equal(a, b) or torch.equal(a.nan_to_num(), b.nan_to_num())


def _random_state(params: Sequence[nn.Parameter]) -> list[Any]:
    devices = sorted({param.device.index or 0 for param in params if param.device.type == "cuda"})
    states = [torch.get_rng_state(), *(torch.cuda.get_rng_state(number) for number in devices)]
    numpys: Any = np.random.get_state()  # noqa: NPY002
    # A text of its 624 numbers would take 7 ms.
    numbers = (numpys[1].tobytes(), numpys[2:]) if isinstance(numpys, tuple) else repr(numpys)
    return [*(state.numpy().tobytes() for state in states), numbers, random.getstate()]
