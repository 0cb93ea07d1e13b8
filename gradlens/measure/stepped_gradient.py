"""SteppedGradient: says whether the optimizer steps on the gradient that was measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from gradlens.autograd.grads import Grads
from gradlens.autograd.shards import local
from gradlens.guards.script_modes import unseen
from gradlens.measure.meter import StepMeter
from gradlens.measure.step_passes import StepPasses
from gradlens.measure.stepped_passes import Combination, step_together, taken_away


@dataclass(frozen=True)
class SetAside:
    """Gradients of passes set aside, and the gradient that the optimizer stepped on.

    Attributes:
        passes: The [P] gradients of M passes, in their order; empty if no pass was set aside.
        taken_away: Indices of the parameters that have lost gradients of earlier passes.
        stepped: The [P] gradients that the optimizer stepped on; None if no pass was set aside.
    """

    passes: Sequence[Grads]
    taken_away: Sequence[int]
    stepped: Grads | None


# Gradients with at most this many entries are copied, to compare them entry by entry. That takes less time than their numbers.
SMALL = 2**16
# The scale of the optimizer's gradient and the part of it that no scale explains, if it is the measured one.
# No tensor: this file may be imported under a default device or a mode of the script.
UNCHANGED = (1.0, 0.0)


class SteppedGradient:
    """Compares ``.grad`` after the backward passes of a measured step with ``.grad`` when the optimizer steps.

    Both are described by two numbers for each parameter: the norm and the sum of its gradient. Another scale (clipping by
    norm) changes all numbers by one factor. Projections, clipped values, masks and replaced gradients do not.

    ``.grad`` is read when the optimizer's step begins. If the optimizer runs the passes itself, in a closure, it is read when
    the step is over: then it holds the gradient of the last pass. Nothing here waits for the device, except ``step_together``.

    If several processes train, they compare passes set aside together (see ``set_aside``). Otherwise each compares its own
    ``.grad``, unless the script averages gradients by hand: it does so between the backward pass and the step.
    """

    def __init__(
        self, fail: Callable[[Exception], None], grad_is_averaged: Callable[[StepPasses], bool] | None = None
    ) -> None:
        """Keeps its arguments. Nothing is compared yet.

        Args:
            fail: Is given each error of gradlens, which must not reach the training's step.
            grad_is_averaged: Says whether ``.grad`` is averaged over the processes after the passes; None in a single process.
        """
        self._fail, self._grad_is_averaged = fail, grad_is_averaged
        self._meter: StepMeter | None = None
        self._owned: Sequence[int] = ()
        self._left: Grads | Tensor | None = None
        self._passes: Sequence[Grads] = ()
        self._waits = False  # whether the processes compare the passes set aside, when the step is over
        self._stepped: Grads | None = None
        self._found: Tensor | None = None
        self._together = False
        self._steps_as_torch = False
        self._handle: RemovableHandle | None = None

    def left(self, meter: StepMeter, optimizer: Optimizer) -> None:
        """Keeps the gradient that the backward passes left, to compare it in the optimizer's step.

        Args:
            meter: Has measured the passes.
            optimizer: Steps on their gradients.
        """
        self.forget()
        ids = {id(param) for group in optimizer.param_groups for param in group["params"]}
        self._meter = meter
        self._owned = [i for i, param in enumerate(meter.params) if id(param) in ids]  # others may be zeroed before
        passes, taken = meter.passes, meter.passes.sums.taken
        whole = [*passes.totals, passes.sums.total] if passes.totals else []
        self._passes = [vector for vector in whole if vector is not None]
        shared = self._grad_is_averaged
        self._waits = shared is not None and bool(self._passes)
        if shared is None or (not self._waits and shared(passes)):
            gradients = self._gradients() if taken is None else [taken[i] for i in self._owned]
            self._left = _copied(gradients) or _signature(gradients)
        self._steps_as_torch = type(optimizer).__module__.startswith("torch.optim.")
        if self._handle is None:
            self._handle = optimizer.register_step_pre_hook(self._before_step)

    def settle(self) -> Tensor | None:
        """Ends the step. If the optimizer has stepped on the gradients of passes set aside, these passes count from now on.

        Returns:
            [2] the scale of the optimizer's gradient in units of the measured one, and the part of the optimizer's gradient
            (from 0 to 1) that no scale explains. None if they were not compared.
        """
        self._conclude()
        meter, found, together = self._meter, self._found, self._together
        self.end()
        if meter is None or found is None:
            return None
        if together:
            meter.passes.join()
        if meter.scale is None:
            return found
        return found * torch.stack([meter.scale.to(found), torch.ones_like(found[0])])  # it steps on unscaled ones

    def end(self) -> None:
        """Drops what was kept, and takes the hook off the optimizer."""
        self.forget()
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    def forget(self) -> None:
        """Drops what was kept. The hook stays, because torch may be calling the optimizer's hooks: they must not change then."""
        self._found = self._left = self._meter = None
        self._passes, self._together = (), False
        self._waits, self._stepped = False, None

    def set_aside(self) -> SetAside:
        """Returns what this process has set aside in this step, for the processes to compare."""
        if self._waits:  # the passes ran inside the optimizer's step
            self._look(None)
        return SetAside(self._passes, taken_away(self._passes, self._owned), self._stepped)

    def count_together(self, together: Combination) -> None:
        """Lets the passes set aside count, as the processes have decided."""
        self._together, self._found = True, torch.tensor([together.scale, together.rest])

    def _before_step(self, optimizer: Any, *_: Any) -> None:
        try:
            unseen(self._look, getattr(optimizer, "grad_scale", None))
        except Exception as error:
            self._fail(error)

    def _look(self, factor: Tensor | None) -> None:
        """Compares ``.grad`` in the optimizer's step with what was kept.

        Args:
            factor: The gradient scaler's scale, if the optimizer divides by it itself; or None.
        """
        if self._waits and self._meter is not None:
            self._waits = False
            self._stepped = [None if p.grad is None else p.grad.detach().clone() for p in self._meter.params]
            return
        left, self._left = self._left, None
        passes, self._passes = self._passes, ()
        stepped = self._gradients()
        if not passes and isinstance(left, list) and _same(left, stepped):
            found = torch.tensor(UNCHANGED, dtype=torch.float32, device="cpu")
            self._found = found if factor is None else found / torch.stack([factor.cpu(), torch.ones((), device="cpu")])
            return
        if isinstance(left, list):
            left = _signature(left)
        if left is None or self._meter is None or (now := _signature(stepped)) is None:
            return
        together = self._made_of(passes, self._meter) if passes else None
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

    def _conclude(self) -> None:
        """Compares now, if the passes ran inside the optimizer's step."""
        if self._left is None:
            return
        self._look(None)
        if not self._together and not self._steps_as_torch:
            self._found = None  # an optimizer that is not torch's may have written to .grad (weight decay)

    def _gradients(self) -> Grads:
        """Returns ``.grad`` of the parameters that the optimizer owns."""
        return [] if self._meter is None else [self._meter.params[i].grad for i in self._owned]

    def _made_of(self, passes: Sequence[Grads], meter: StepMeter) -> Combination | None:
        at = taken_away(passes, self._owned)
        if not at:
            return None
        params = [meter.params[i] for i in at]
        vectors = [[vector[i] for i in at] for vector in passes]
        return step_together(meter.products([*vectors, [param.grad for param in params]], at), params)


def _copied(gradients: Grads) -> Grads:
    """Returns a copy of gradients that are small and lie on the CPU; [] for others, because a copy needs memory."""
    there = [gradient for gradient in gradients if gradient is not None]
    for gradient in there:
        if type(gradient) is not Tensor or gradient.device.type != "cpu" or gradient.layout is not torch.strided:
            return []
    if not there or sum(map(torch.numel, there)) > SMALL:
        return []
    return [None if gradient is None else gradient.detach().clone() for gradient in gradients]


def _same(left: Grads, now: Grads) -> bool:
    """Says whether gradients on the CPU are those that were copied."""
    return len(left) == len(now) and all(
        a is b or (a is not None and b is not None and a.dtype == b.dtype and torch.equal(a, b))
        for a, b in zip(left, now, strict=True)
    )


def _signature(gradients: Grads) -> Tensor | None:
    """Returns [2 P] norms and sums of P gradients, each sum divided by the root of the number of entries; None without any."""
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
        # One call for all norms: with many small parameters, calls take most of the time.
        for (index, entries), norm in zip(found, torch._foreach_norm([each for _, each in found]), strict=True):
            norms[index], sums[index], roots[index] = norm, entries.sum(), entries.numel() ** 0.5
    numbers = norms + sums
    if alike.keys() != {(home, torch.float32)}:
        numbers = [number.to(home, torch.float32) for number in numbers]
    divisors = torch.tensor([1.0] * len(gradients) + roots, dtype=torch.float32)
    return torch.stack(numbers) / divisors.to(home, non_blocking=True)


def _entries(gradient: Tensor) -> Tensor:
    """Returns the entries of a gradient as real numbers of at least 32 bits."""
    values = gradient.coalesce().values() if gradient.is_sparse else gradient
    values = torch.view_as_real(values) if values.is_complex() else values
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
