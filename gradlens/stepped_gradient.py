"""SteppedGradient: whether the optimizer steps on the gradient that was measured; nothing here waits for the device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from gradlens.shards import local


class SteppedGradient:
    """Compares what the backward passes of a measured step left in ``.grad`` with what the optimizer finds there.

    Both are told by two numbers for each parameter: the norm and the sum of its gradient. Another scale (clipping by norm)
    changes all of them alike; projections, clipped values, masks and replaced gradients do not.
    """

    def __init__(self, fail: Callable[[Exception], None]) -> None:
        """Prepares.

        Args:
            fail: Takes errors of ours, which must not reach the step of the training.
        """
        self._fail = fail
        self._left: Tensor | None = None
        self._params: Sequence[Tensor] = ()
        self._found: Tensor | None = None
        self._handle: RemovableHandle | None = None

    def left(self, params: Sequence[Tensor], optimizer: Optimizer) -> None:
        """Notes what a backward pass left, and waits for the optimizer's step."""
        owned = {id(param) for group in optimizer.param_groups for param in group["params"]}
        self._params = [param for param in params if id(param) in owned]  # others may be zeroed before
        self._left, self._found = _signature(self._params), None
        if self._handle is None:
            self._handle = optimizer.register_step_pre_hook(self._before_step)

    def take(self) -> Tensor | None:
        """Returns [2], once: scale of what steps over what was left, and the relative rest that no scale explains."""
        found = self._found
        self.forget()
        if self._handle is not None:
            self._handle.remove()
            self._handle = None
        return found

    def forget(self) -> None:
        """Drops what was noted. The hook stays: torch may be going through the optimizer's hooks, which must not change then."""
        self._found = self._left = None

    def _before_step(self, optimizer: Any, *_: Any) -> None:
        try:
            left, self._left = self._left, None
            now = _signature(self._params)
            if left is not None and now is not None:
                if (factor := getattr(optimizer, "grad_scale", None)) is not None:
                    now = now / factor.to(now)  # a fused optimizer takes the scaler's scale off by itself
                scale = (left @ now) / (left @ left)
                self._found = torch.stack([scale, (now - scale * left).norm() / now.norm()])
        except Exception as error:
            self._fail(error)


def _signature(params: Sequence[Tensor]) -> Tensor | None:
    """Returns [2 P] norms and sums of gradients, the sums over the root of the number of entries; None without gradients."""
    parts = [None if param.grad is None else local(param.grad.detach()) for param in params]
    home = next((part.device for part in parts if part is not None), None)
    if home is None:
        return None
    numbers: list[Tensor] = []
    for part in parts:
        if part is None or not part.numel():
            numbers += [torch.zeros((), device=home)] * 2
            continue
        values = part.coalesce().values() if part.is_sparse else part
        values = torch.view_as_real(values) if values.is_complex() else values
        wide = values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
        numbers += [wide.norm(), wide.sum() / max(wide.numel(), 1) ** 0.5]
    return torch.stack([number.to(home, torch.float32) for number in numbers])
