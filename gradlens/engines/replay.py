"""Replay: running the forward pass of a model a second time, exactly, without leaving a trace."""

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
    """What one call of the model depended on, besides its parameters.

    Attributes:
        args: Positional arguments, by reference.
        kwargs: Named arguments, by reference.
        cpu_rng: Random state of the CPU before the call.
        device_rng: Random states of the CUDA devices in use, by device number.
        autocast: (device type, dtype, enabled) as it was.
    """

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    cpu_rng: Tensor
    device_rng: Mapping[int, Tensor]
    autocast: tuple[tuple[str, torch.dtype, bool], ...]

    @classmethod
    def capture(cls, model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> ForwardCall:
        """Takes down a call that is about to happen."""
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
        """Calls the model again with other tensors for its parameters and buffers, in the captured surroundings.

        Call it within ``untouched``.

        Args:
            model: The model.
            tensors: Parameters and buffers by name.
        """
        torch.set_rng_state(self.cpu_rng)
        for number, state in self.device_rng.items():
            torch.cuda.set_rng_state(state, number)
        with ExitStack() as surroundings:
            for device, dtype, enabled in self.autocast:
                # A cached cast of a parameter belongs to the ordinary pass.
                cast = torch.autocast(device, dtype=dtype, enabled=enabled, cache_enabled=False)
                surroundings.enter_context(cast)
            surroundings.enter_context(_EagerDropout())
            return functional_call(model, dict(tensors), self.args, dict(self.kwargs))


@contextmanager
def untouched(model: nn.Module, call: ForwardCall) -> Iterator[None]:
    """Restores random states and the modules' attributes afterwards, buffers and parameters left alone."""
    attributes = [(module, dict(vars(module))) for module in model.modules()]
    with torch.random.fork_rng(devices=list(call.device_rng)):
        try:
            yield
        finally:
            for module, values in attributes:
                vars(module).clear()
                vars(module).update(values)


class _EagerDropout(TorchFunctionMode):
    """Draws the masks of dropout as outside torch.func.

    Inside its transforms torch fills masks in the order of a contiguous tensor, outside in the order of the input's
    memory: for a transposed tensor, as attention makes, they would differ.
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
