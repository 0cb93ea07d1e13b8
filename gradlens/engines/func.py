"""The func engine: it repeats the forward pass under ``torch.func``, and pulls the cotangents of all groups back at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from gradlens.autograd.cotangents import AnchoredLosses, bypasses
from gradlens.autograd.grads import Grads
from gradlens.batch.rows import RowsByGroup
from gradlens.engines.fallback_warning import no_fallback_warning
from gradlens.engines.masks import GroupCotangents
from gradlens.engines.protocol import EngineRefusal
from gradlens.engines.replay import ForwardCall, untouched
from gradlens.guards.deferred_error import HeldError
from gradlens.guards.forward_hooks import script_forward_hooks
from gradlens.guards.module_hook import InstalledHook, StepHook
from gradlens.guards.unseen_hooks import listen

# How far a replayed output may be from the training's, relative to its size. Other kernels add up in another order.
TOLERANCE = 1e-3
# The same for outputs in half precision.
HALF_TOLERANCE = 5e-2


class FuncEngine:
    """Replays the forward pass under ``torch.func.vjp`` and pulls the cotangents of all groups back with ``vmap``.

    It computes gradients without any code of the other engines, so it is an independent reference. With many groups on a GPU
    it is also fast. It costs one forward pass, and memory for the activation gradients of all groups at once.
    """

    name = "func"

    def __init__(self, model: nn.Module, params: Sequence[nn.Parameter], *, chunk_size: int | None = None) -> None:
        """Prepares the engine.

        Args:
            model: The module. One call of it is one forward pass.
            params: The measured parameters.
            chunk_size: How many cotangents are pulled back at once, to save memory; None: all of them.
        """
        self._model = model
        self._params = list(params)
        self._chunk_size = chunk_size
        self._handles: list[InstalledHook] = []
        self._calls: list[ForwardCall] = []
        self._outputs: list[Any] = []
        self._held = HeldError()

    def arm(self) -> None:
        """Installs hooks that record the next forward pass; see ``Engine.arm``."""
        self.disarm()
        names = {id(param): name for name, param in self._model.named_parameters()}
        missing = [list(param.shape) for param in self._params if id(param) not in names]
        if missing:
            raise EngineRefusal(f"func: a parameter of shape {missing[0]} is not in the model ({_name(self._model)})")
        hooks = script_forward_hooks(self._model)
        if hooks:
            raise EngineRefusal(
                f"func: it runs the forward pass again, and with it the script's forward hook {hooks[0]}"
            )
        try:
            self.arm_again()
        except BaseException:
            self.disarm()  # no hook stays on the model, whatever ended this
            raise

    def arm_again(self) -> None:
        """Installs the hooks, those of before if they still fit."""
        if self._handles and all(handle.fits(self._model) for handle in self._handles):
            for handle in self._handles:
                handle.put_back()
            return
        self._handles = []
        before = StepHook(self._before, self._hold)
        self._handles.append(listen(self._model, before, before=True, with_kwargs=True))
        self._handles.append(listen(self._model, StepHook(self._after, self._hold)))

    def disarm(self) -> None:
        """Removes the hooks and drops what they recorded; see ``Engine.disarm``."""
        for handle in self._handles:
            handle.remove()
        self._calls, self._outputs, self._held = [], [], HeldError()

    def measure(
        self,
        passed: AnchoredLosses,
        rows: RowsByGroup,
        wanted: Sequence[tuple[int, int]],
        backward: Callable[[], None],
    ) -> list[Grads]:
        """Repeats the forward pass, pulls the cotangents back, then runs ``backward``; see ``Engine.measure``."""
        for handle in self._handles:
            handle.remove()  # the replay that follows is no forward pass of the training
        try:
            found = self._pull_back(passed, rows, wanted) if wanted else []
        finally:
            self.disarm()
        backward()
        return found

    def _hold(self, error: Exception) -> None:
        self._held.hold(error)

    def _before(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if torch.is_grad_enabled():
            self._calls.append(ForwardCall.capture(module, args, kwargs))

    def _after(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:  # noqa: ARG002
        if torch.is_grad_enabled():
            self._outputs.append(output)

    def _pull_back(self, passed: AnchoredLosses, rows: RowsByGroup, wanted: Sequence[tuple[int, int]]) -> list[Grads]:
        self._held.check()
        if len(self._calls) != 1 or len(self._outputs) != 1:
            raise EngineRefusal(
                f"func: {_name(self._model)} ran {len(self._calls)} times before this backward, not once"
            )
        call, output = self._calls[0], self._outputs[0]
        self._outputs = []
        leaves = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor) and leaf.requires_grad]
        self._check_inputs(call)
        found = self._stacked(passed, rows, wanted, leaves)
        reached = [number for number, each in enumerate(found) if each is not None]
        if not reached:
            return [[None] * len(self._params) for _ in wanted]
        stacked = tuple(each for each in found if each is not None)
        expected = [leaves[n].detach() for n in reached]
        with untouched(self._model, call):
            gradients = self._replay(call, expected, self._numbers(output, leaves, reached), stacked)
        return [list(vector) for vector in zip(*(gradient.unbind() for gradient in gradients), strict=True)]

    def _check_inputs(self, call: ForwardCall) -> None:
        for leaf in tree_leaves((call.args, dict(call.kwargs))):
            if isinstance(leaf, Tensor) and leaf.requires_grad and bypasses(leaf, [], self._params):
                raise EngineRefusal(f"func: an input of {_name(self._model)} was computed from measured parameters")

    def _stacked(
        self,
        passed: AnchoredLosses,
        rows: RowsByGroup,
        wanted: Sequence[tuple[int, int]],
        leaves: Sequence[Tensor],
    ) -> list[Tensor | None]:
        """Returns for each of the model's outputs the cotangents [V, *output] of the V wanted vectors; None if it has none."""
        if len(passed.losses) == len(passed.anchors) == 1:
            for number, leaf in enumerate(leaves):
                if leaf is passed.anchors[0]:  # the usual case: all groups are masked at once
                    found: list[Tensor | None] = [None] * len(leaves)
                    (found[number],) = GroupCotangents(passed, 0, rows).by_group([group for _, group in wanted])
                    return found
        seeds = self._seeds(passed, rows, wanted, leaves)
        return [
            _stack(column, leaf) if any(part is not None for part in column) else None
            for column, leaf in zip(zip(*seeds, strict=True), leaves, strict=True)
        ]

    def _seeds(
        self,
        passed: AnchoredLosses,
        rows: RowsByGroup,
        wanted: Sequence[tuple[int, int]],
        leaves: Sequence[Tensor],
    ) -> list[list[Tensor | None]]:
        """Returns for each wanted vector the cotangents of the model's outputs; None where an output has none."""
        direct = {c: GroupCotangents(passed, c, rows) for c in dict.fromkeys(c for c, _ in wanted)}
        found: list[list[Tensor | None]] = []
        for component, group in wanted:
            seed: list[Tensor | None] = [None] * len(leaves)
            for anchor, masked in zip(passed.anchors, direct[component].of(group), strict=True):
                if masked is None:
                    continue
                for number, part in self._at_outputs(anchor, masked, leaves):
                    present = seed[number]
                    seed[number] = part if present is None else present + part
            found.append(seed)
        return found

    def _at_outputs(self, anchor: Tensor, masked: Tensor, leaves: Sequence[Tensor]) -> list[tuple[int, Tensor]]:
        for number, leaf in enumerate(leaves):
            if leaf is anchor:
                return [(number, masked)]
        # The script computes the anchor from the model's output: it reshapes it, shifts it, or divides by a temperature.
        if not leaves or bypasses(anchor, leaves, self._params):
            raise EngineRefusal(f"func: the anchor is not computed from the output of {_name(self._model)}")
        parts = torch.autograd.grad(anchor, leaves, masked, retain_graph=True, allow_unused=True)
        return [(number, part) for number, part in enumerate(parts) if part is not None]

    def _numbers(self, output: Any, leaves: Sequence[Tensor], reached: Sequence[int]) -> list[int]:
        """Returns the positions of the reached outputs among all leaves of the model's return value."""
        everything = tree_leaves(output)
        return [next(i for i, leaf in enumerate(everything) if leaf is leaves[n]) for n in reached]

    def _replay(
        self, call: ForwardCall, expected: Sequence[Tensor], numbers: Sequence[int], stacked: tuple[Tensor, ...]
    ) -> list[Tensor]:
        """Returns for each parameter its gradients [V, *parameter] for the V wanted vectors."""
        measured = {id(param) for param in self._params}
        varied = {n: p.detach() for n, p in self._model.named_parameters() if id(p) in measured}
        fixed = {n: p.detach() for n, p in self._model.named_parameters() if id(p) not in measured}
        buffers = dict(self._model.named_buffers())

        def forward(params: dict[str, Tensor]) -> tuple[Tensor, ...]:
            # The model may write its buffers in place (running statistics). So it gets copies, made inside the transform:
            # torch.func allows such writes only to tensors of its own.
            copies = {name: buffer.clone() for name, buffer in buffers.items()}
            everything = tree_leaves(call.run(self._model, params | fixed | copies))
            return tuple(everything[number] for number in numbers)

        try:
            outputs, pull_back = torch.func.vjp(forward, varied)[:2]
            _check_same(outputs, expected, self._model)
            seeds = tuple(s.to(o.dtype) for s, o in zip(stacked, outputs, strict=True))
            with no_fallback_warning():
                gradients = torch.func.vmap(lambda *seed: pull_back(seed)[0], chunk_size=self._chunk_size)(*seeds)
        except (RuntimeError, IndexError, ValueError, AttributeError, TypeError, AssertionError) as error:
            # The training's forward pass ran without an error. So this one comes from the wrapped tensors of torch.func.
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise EngineRefusal(f"func: torch.func cannot treat {_name(self._model)}: {reason}") from error
        order = {id(param): name for name, param in self._model.named_parameters()}
        return [gradients[order[id(param)]] for param in self._params]


def _stack(seeds: Sequence[Tensor | None], leaf: Tensor) -> Tensor:
    return torch.stack([torch.zeros_like(leaf) if seed is None else seed for seed in seeds])


def _check_same(outputs: Sequence[Tensor], expected: Sequence[Tensor], model: nn.Module) -> None:
    same = all(output.shape == before.shape for output, before in zip(outputs, expected, strict=True))
    if same:
        # One answer for all outputs together, because reading an answer waits for the device.
        close = [_is_close(output.detach(), before) for output, before in zip(outputs, expected, strict=True)]
        same = bool(torch.stack([one.to(close[0].device) for one in close]).all())
    if not same:
        raise EngineRefusal(
            f"func: running {_name(model)} again gave another output: it draws random numbers outside torch, "
            "changed state, or changed its input in place"
        )


def _is_close(output: Tensor, before: Tensor) -> Tensor:
    """Returns a boolean on the device: whether two outputs are equal except for rounding.

    The tolerance is relative to the entry and to the largest entry.
    """
    tolerance = TOLERANCE if output.dtype in (torch.float32, torch.float64) else HALF_TOLERANCE
    if before.numel() == 0 or (before.device.type == "cpu" and torch.equal(output, before)):
        return torch.ones((), dtype=torch.bool, device=before.device)
    largest = before.abs().max().nan_to_num()
    gap = (output - before).abs()
    close = (gap <= tolerance * (before.abs() + largest)) | (output == before) | (output.isnan() & before.isnan())
    return close.all()


def _name(model: nn.Module) -> str:
    return type(model).__name__
