"""Repeats the forward pass of a model exactly, with the same random numbers, and leaves the model as it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode


@dataclass(frozen=True)
class ForwardCall:
    """Everything that one call of the model depended on, except its parameters and buffers.

    Attributes:
        args: Positional arguments, by reference.
        kwargs: Named arguments, by reference.
        cpu_rng: Random state of the CPU before the call.
        device_rng: Random states of the CUDA devices in use, by device number.
        autocast: (device type, dtype, enabled) before the call, for each type of device in use.
    """

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    cpu_rng: Tensor
    device_rng: Mapping[int, Tensor]
    autocast: tuple[tuple[str, torch.dtype, bool], ...]

    @classmethod
    def capture(cls, model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> ForwardCall:
        """Records a call of the model just before it runs."""
        devices = {tensor.device for tensor in (*model.parameters(), *model.buffers())}
        cuda = sorted({d.index or 0 for d in devices if d.type == "cuda"})
        kinds = sorted({"cpu"} | {d.type for d in devices})
        return cls(
            args=args,
            kwargs=kwargs,
            cpu_rng=torch.get_rng_state(),
            device_rng={number: torch.cuda.get_rng_state(number) for number in cuda},
            autocast=tuple((k, torch.get_autocast_dtype(k), torch.is_autocast_enabled(k)) for k in kinds),
        )

    def run(self, model: nn.Module, tensors: Mapping[str, Tensor]) -> Any:
        """Repeats the call with the recorded random and autocast states, and with the given parameters and buffers.

        Use it only inside ``untouched``. Returns what the model returns.

        Args:
            model: The model.
            tensors: Parameters and buffers by name.
        """
        torch.set_rng_state(self.cpu_rng)
        for number, state in self.device_rng.items():
            torch.cuda.set_rng_state(state, number)
        with ExitStack() as surroundings:
            for device, dtype, enabled in self.autocast:
                # The cache of autocast holds cast parameters of the training's pass.
                cast = torch.autocast(device, dtype=dtype, enabled=enabled, cache_enabled=False)
                surroundings.enter_context(cast)
            surroundings.enter_context(_EagerDropout())
            return functional_call(model, dict(tensors), self.args, dict(self.kwargs))


@contextmanager
def untouched(model: nn.Module, call: ForwardCall) -> Iterator[None]:
    """Restores the random states and the attributes of modules after the ``with`` block. Leaves buffers and parameters alone.

    Args:
        model: The model.
        call: The call that is repeated inside.
    """
    attributes = [(module, dict(vars(module))) for module in model.modules()]
    with torch.random.fork_rng(devices=list(call.device_rng)):
        try:
            yield
        finally:
            for module, values in attributes:
                vars(module).clear()
                vars(module).update(values)


class _EagerDropout(TorchFunctionMode):
    """Draws dropout masks in the same order as a forward pass outside ``torch.func``.

    Inside its transforms torch fills a mask in the order of a contiguous tensor. Outside, it uses the memory order of the
    input. The two differ for a transposed tensor, which attention uses.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is F.dropout:
            return _dropout(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:  # noqa: A002
    if not training or p == 0.0 or p == 1.0 or inplace or input.numel() == 0:
        return F.dropout(input, p, training, inplace)
    if input.device.type == "cpu":
        return input * torch.empty_like(input).bernoulli_(1 - p).div_(1 - p)
    dropped: Tensor = torch.native_dropout(input, p, True)[0]
    return dropped
