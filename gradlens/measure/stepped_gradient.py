"""SteppedGradient: whether the optimizer steps on the gradient that was measured; nothing here waits for the device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from gradlens.autograd.grads import Grads
from gradlens.autograd.shards import local
from gradlens.measure.step_passes import StepPasses
from gradlens.measure.stepped_passes import step_together


class SteppedGradient:
    """Compares what the backward passes of a measured step left in ``.grad`` with what the optimizer finds there.

    Both are told by two numbers for each parameter: the norm and the sum of its gradient. Another scale (clipping by norm)
    changes all of them alike; projections, clipped values, masks and replaced gradients do not.

    Attributes:
        together: Whether it steps on what several passes gave, though ``.grad`` was zeroed between them; until ``take``.
    """

    def __init__(self, fail: Callable[[Exception], None]) -> None:
        """Prepares.

        Args:
            fail: Takes errors of ours, which must not reach the step of the training.
        """
        self._fail = fail
        self._left: Tensor | None = None
        self._params: Sequence[nn.Parameter] = ()
        self._passes: Sequence[Grads] = ()
        self._found: Tensor | None = None
        self.together = False
        self._handle: RemovableHandle | None = None

    def left(self, params: Sequence[nn.Parameter], passes: StepPasses, optimizer: Optimizer) -> None:
        """Notes what the backward passes left, and waits for the optimizer's step.

        Args:
            params: The measured parameters.
            passes: Passes over them.
            optimizer: Steps on their gradients.
        """
        owned = {id(param) for group in optimizer.param_groups for param in group["params"]}
        at = [i for i, param in enumerate(params) if id(param) in owned]  # others may be zeroed before
        self._params = [params[i] for i in at]
        whole = [*passes.totals, passes.sums.total] if passes.totals else []
        self._passes = [[vector[i] for i in at] for vector in whole if vector is not None]
        taken = passes.sums.taken
        left = [param.grad for param in self._params] if taken is None else [taken[i] for i in at]
        self._left, self._found, self.together = _signature(left), None, False
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
        self._passes, self.together = (), False

    def _before_step(self, optimizer: Any, *_: Any) -> None:
        try:
            left, self._left = self._left, None
            passes, self._passes = self._passes, ()
            stepped = [param.grad for param in self._params]
            if left is None or (now := _signature(stepped)) is None:
                return
            together = step_together(stepped, passes, self._params) if passes else None
            if together is not None:
                self.together = True
                scale, rest = torch.tensor([together.scale, together.rest]).to(now)
            else:
                scale = (left @ now) / (left @ left)
                norm = torch.linalg.vector_norm
                rest = norm(now - scale * left) / norm(now)
            if (factor := getattr(optimizer, "grad_scale", None)) is not None:
                scale = scale / factor.to(now)  # a fused optimizer takes the scaler's scale off by itself
            self._found = torch.stack([scale, rest])
        except Exception as error:
            self._fail(error)


def _signature(gradients: Grads) -> Tensor | None:
    """Returns [2 P] norms and sums of gradients, the sums over the root of the number of entries; None without gradients."""
    values = [None if gradient is None else _entries(local(gradient.detach())) for gradient in gradients]
    alike: dict[tuple[torch.device, torch.dtype], list[tuple[int, Tensor]]] = {}
    for index, entries in enumerate(values):
        if entries is not None and entries.numel():
            alike.setdefault((entries.device, entries.dtype), []).append((index, entries))
    if not alike:
        return None
    home = next(iter(alike))[0]
    nothing = torch.zeros((), device=home, dtype=torch.float32)
    norms, sums, roots = [nothing] * len(gradients), [nothing] * len(gradients), [1.0] * len(gradients)
    for found in alike.values():
        # One call for all norms: with many small parameters the calls are what takes the time.
        for (index, entries), norm in zip(found, torch._foreach_norm([each for _, each in found]), strict=True):
            norms[index], sums[index], roots[index] = norm, entries.sum(), entries.numel() ** 0.5
    numbers = norms + sums
    if alike.keys() != {(home, torch.float32)}:
        numbers = [number.to(home, torch.float32) for number in numbers]
    divisors = torch.tensor([1.0] * len(gradients) + roots, dtype=torch.float32)
    return torch.stack(numbers) / divisors.to(home, non_blocking=True)


def _entries(gradient: Tensor) -> Tensor:
    """Returns the entries of a gradient as real numbers that can be added up."""
    values = gradient.coalesce().values() if gradient.is_sparse else gradient
    values = torch.view_as_real(values) if values.is_complex() else values
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
