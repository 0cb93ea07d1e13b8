"""OwnPass: marks the backward passes that gradlens runs itself, so that the script's hooks are not called in them."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor

from gradlens.guards.silence import Silence

KEY = "gradlens_own_pass"
# One entry for each own pass that runs now, in any thread. It is nearly always empty, and cheap to look at.
_running: list[None] = []
# Tensors inside the graph that keep their gradient (``retain_grad``), by id: an own pass would add to it.
_retained: dict[int, weakref.ref[Tensor]] = {}


class OwnPass:
    """Marks the passes between ``begin`` and ``end`` as gradlens' own, in every thread that autograd uses for them.

    ``end`` puts back the gradients that ``retain_grad`` keeps. Anomaly detection is off in between: a masked gradient may
    have a NaN that the training's gradient has not, and torch would blame the script for it. What the script's functions
    print in between is not heard, see ``Silence``.
    """

    def __init__(self) -> None:
        self._begun = False
        self._kept: list[tuple[Tensor, Tensor | None]] = []
        self._anomaly: tuple[bool, bool] = (False, False)
        self._silence = Silence(in_own_pass)

    def begin(self) -> Self:
        """Begins, and returns itself."""
        self._kept = _kept() if _retained else []
        self._anomaly = torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()
        if self._anomaly[0]:
            torch.set_anomaly_enabled(False)
        if not _running:  # one is enough for all threads
            self._silence.begin()
        _running.append(None)
        self._begun = True
        # torch copies this mark to the threads that run the backward pass for a device.
        torch._C._stash_obj_in_tls(KEY, True)
        return self

    def end(self) -> None:
        """Ends. A second call does nothing."""
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
        self._silence.end()  # last: whatever fails here, the rest is as it was

    def __enter__(self) -> Self:
        return self.begin()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()


def in_own_pass() -> bool:
    """Says whether the calling code runs inside an own pass. Own passes of other threads do not count."""
    return bool(_running) and torch._C._is_key_in_tls(KEY) and bool(torch._C._get_obj_in_tls(KEY))


def aloud(function: Callable[..., None], *args: Any) -> None:
    """Calls a function that tells the user something; it is heard inside an own pass, too."""
    inside = in_own_pass()
    if inside:
        torch._C._stash_obj_in_tls(KEY, False)
    try:
        function(*args)
    finally:
        if inside:
            torch._C._stash_obj_in_tls(KEY, True)


def note_retained(tensor: Tensor) -> None:
    """Remembers a tensor that keeps its gradient. The reference is weak, so the tensor can be freed."""
    number = id(tensor)

    def gone(_: weakref.ref[Tensor]) -> None:
        _retained.pop(number, None)

    _retained[number] = weakref.ref(tensor, gone)


def retains_gradients() -> bool:
    """Says whether a tensor inside a graph keeps its gradient."""
    return bool(_retained)


def _kept() -> list[tuple[Tensor, Tensor | None]]:
    alive = [reference() for reference in list(_retained.values())]
    return [(tensor, tensor.grad) for tensor in alive if tensor is not None]
