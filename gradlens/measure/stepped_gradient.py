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
from gradlens.measure.meter import StepMeter
from gradlens.measure.step_passes import StepPasses
from gradlens.measure.stepped_passes import step_together


class SteppedGradient:
    """Compares what the backward passes of a measured step left in ``.grad`` with what the optimizer finds there.

    Both are told by two numbers for each parameter: the norm and the sum of its gradient. Another scale (clipping by norm)
    changes all of them alike; projections, clipped values, masks and replaced gradients do not.

    The optimizer finds its gradients when its step begins; where it runs the passes itself, in a closure, what lies in ``.grad``
    when the step is over is what the last of them led to.
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
        self._together = False
        self._steps_as_torch = False
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
        self._left, self._found, self._together = _signature(left), None, False
        self._steps_as_torch = type(optimizer).__module__.startswith("torch.optim.")
        if self._handle is None:
            self._handle = optimizer.register_step_pre_hook(self._before_step)

    def settle(self, meter: StepMeter) -> Tensor | None:
        """Ends the step: passes whose gradients have stepped count, too.

        Args:
            meter: Has measured them.

        Returns:
            [2] the scale of what stepped over what was measured, and the relative rest that no scale explains; or None.
        """
        if self._left is not None:  # the passes ran inside of the step
            self._compare(None)
            if not self._together and not self._steps_as_torch:
                self._found = None  # other optimizers may write to .grad: weight decay, say
        if self._together:
            meter.passes.join()
        found, scale = self._found, meter.scale
        self.end()
        if found is None or scale is None:
            return found
        return found * torch.stack([scale.to(found), torch.ones_like(found[0])])  # what steps is unscaled

    def end(self) -> None:
        """Drops what was noted, and leaves the optimizer."""
        self.forget()
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    def forget(self) -> None:
        """Drops what was noted. The hook stays: torch may be going through the optimizer's hooks, which must not change then."""
        self._found = self._left = None
        self._passes, self._together = (), False

    def _before_step(self, optimizer: Any, *_: Any) -> None:
        try:
            self._compare(getattr(optimizer, "grad_scale", None))
        except Exception as error:
            self._fail(error)

    def _compare(self, factor: Tensor | None) -> None:
        """Compares what lies in ``.grad`` with what was left there; ``factor``: the scale that the optimizer takes off itself."""
        left, self._left = self._left, None
        passes, self._passes = self._passes, ()
        stepped = [param.grad for param in self._params]
        if left is None or (now := _signature(stepped)) is None:
            return
        together = step_together(stepped, passes, self._params) if passes else None
        if together is not None:
            self._together = True
            scale, rest = torch.tensor([together.scale, together.rest]).to(now)
        else:
            scale = (left @ now) / (left @ left)
            norm = torch.linalg.vector_norm
            rest = norm(now - scale * left) / norm(now)
        if factor is not None:
            scale = scale / factor.to(now)
        self._found = torch.stack([scale, rest])


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
