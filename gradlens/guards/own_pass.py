"""OwnPass: backward passes of ours, of which the script's hooks must not hear."""

from __future__ import annotations

import weakref
from types import TracebackType
from typing import Self

import torch
from torch import Tensor

KEY = "gradlens_own_pass"
# One entry for each pass of ours that runs in any thread: empty nearly always, and cheap to ask.
_running: list[None] = []
# Tensors of the graph that keep their gradient (``retain_grad``): a pass of ours would add to it.
_retained: dict[int, weakref.ref[Tensor]] = {}


class OwnPass:
    """Marks what runs from ``begin`` to ``end`` as passes of ours, for hooks in every thread that autograd uses for them.

    What ``retain_grad`` keeps of the script's tensors stays as it was. Anomaly detection, which would blame the script for
    a NaN that only a masked gradient has, is off.
    """

    def __init__(self) -> None:
        self._begun = False
        self._kept: list[tuple[Tensor, Tensor | None]] = []
        self._anomaly: tuple[bool, bool] = (False, False)

    def begin(self) -> Self:
        """Begins."""
        self._kept = _kept() if _retained else []
        self._anomaly = torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()
        if self._anomaly[0]:
            torch.set_anomaly_enabled(False)
        _running.append(None)
        self._begun = True
        # torch hands this on to the threads in which it runs a backward pass for a device.
        torch._C._stash_obj_in_tls(KEY, True)
        return self

    def end(self) -> None:
        """Ends; a second call does nothing."""
        if not self._begun:
            return
        torch._C._stash_obj_in_tls(KEY, False)
        self._begun = False
        _running.pop()
        if self._anomaly[0]:
            torch.set_anomaly_enabled(*self._anomaly)
        for tensor, gradient in self._kept:
            tensor.grad = gradient
        self._kept = []

    def __enter__(self) -> Self:
        return self.begin()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()


def in_own_pass() -> bool:
    """Says whether a pass of ours runs the code that asks; other threads' passes do not count."""
    return bool(_running) and torch._C._is_key_in_tls(KEY) and bool(torch._C._get_obj_in_tls(KEY))


def note_retained(tensor: Tensor) -> None:
    """Remembers a tensor that keeps its gradient, without keeping it alive."""
    number = id(tensor)

    def gone(_: weakref.ref[Tensor]) -> None:
        _retained.pop(number, None)

    _retained[number] = weakref.ref(tensor, gone)


def _kept() -> list[tuple[Tensor, Tensor | None]]:
    alive = [reference() for reference in list(_retained.values())]
    return [(tensor, tensor.grad) for tensor in alive if tensor is not None]
