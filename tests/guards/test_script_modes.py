"""Modes of the script see the operations of the training, and nothing of what gradlens computes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack
from torch.utils._device import DeviceContext
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode_stack
from torch.utils.flop_counter import FlopCounterMode

from gradlens import ClassGroups, Lens
from gradlens.guards.script_modes import seen, unseen
from tests.tracking.in_process import finished, trackers

GROUPS = "head=0-1,tail=2-3"


class Operations(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


class Functions(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(getattr(func, "__name__", str(func)))
        return func(*args, **(kwargs or {}))


def flops() -> FlopCounterMode:
    return FlopCounterMode(display=False)


def heard(mode: Any) -> Any:
    return mode.get_total_flops() if isinstance(mode, FlopCounterMode) else mode.names


def train(make: Any, norm: bool, lens_of: Any = None) -> tuple[list[Any], list[torch.Tensor]]:
    torch.manual_seed(0)
    layers = [nn.Linear(6, 8), *([nn.BatchNorm1d(8)] if norm else []), nn.ReLU(), nn.Linear(8, 4)]
    model = nn.Sequential(*layers)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    lens = lens_of and lens_of(model, optimizer)
    found = []
    for _ in range(4):
        x, y = torch.randn(12, 6), torch.randint(0, 4, (12,))
        with make() as mode:
            loss = F.cross_entropy(model(x), y)
            lens.backward(loss, y) if lens else loss.backward()
            optimizer.step()
        optimizer.zero_grad()
        found.append(heard(mode))
    if lens:
        lens.close()
    return found, list(model.state_dict().values())


@pytest.mark.parametrize("norm", [False, True], ids=["split", "masked"])
@pytest.mark.parametrize("make", [flops, Operations, Functions])
def test_modes_see_what_they_see_without_tracking(make, norm, tmp_path):
    expected, weights = train(make, norm)
    with trackers(tmp_path / "run") as start:
        tracker = start(every=1, groups=GROUPS)
        found, left = train(make, norm)
        run = finished(tracker, tmp_path)

    assert found == expected
    assert all(map(torch.equal, left, weights))
    assert len(run) >= 3
    assert run.residual.max() < 1e-6


def test_a_lens_of_the_script_is_not_counted_either():
    def lens_of(model, optimizer):
        return Lens(model, ClassGroups.parse(GROUPS, 4), optimizer=optimizer, every=1, strict=True)

    assert train(flops, True, lens_of)[0] == train(flops, True)[0]


def test_modes_come_back_in_their_order_and_the_default_device_stays():
    inside = []

    def look() -> None:
        inside.append((_get_current_dispatch_mode_stack(), _get_current_function_mode_stack()))

    def fail() -> None:
        look()
        seen(look)
        unseen(look)  # already inside
        raise ValueError

    outer, inner, functions, device = Operations(), Operations(), Functions(), DeviceContext(torch.device("cpu"))
    with outer, inner, device, functions:
        with pytest.raises(ValueError):
            unseen(fail)
        assert inside == [([], [device]), ([outer, inner], [device, functions]), ([], [device])]
        assert _get_current_dispatch_mode_stack() == [outer, inner]
        assert _get_current_function_mode_stack() == [device, functions]
    assert _get_current_dispatch_mode_stack() == []
