"""What an optimizer step takes off the parameters: new less old, with the sign turned, worked by hand."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from gradlens.measure.optimizer_update import OptimizerUpdate
from gradlens.measure.schedule.clock import Clock


def update_of(params: list[torch.nn.Parameter], *, armed: bool) -> OptimizerUpdate:
    current = SimpleNamespace(meter=SimpleNamespace(params=params))
    return OptimizerUpdate(SimpleNamespace(armed=armed), current, Clock(), wanted=True)


def parameters() -> list[torch.nn.Parameter]:
    params = [torch.nn.Parameter(torch.tensor([1.0, 2.0])), torch.nn.Parameter(torch.tensor([3.0]))]
    params[0].grad, params[1].grad = torch.tensor([10.0, -10.0]), torch.tensor([1.0])
    return params


def test_the_step_of_gradient_descent():
    params = parameters()
    update = update_of(params, armed=True)
    update.note()
    torch.optim.SGD(params, lr=0.5, weight_decay=1.0).step()
    first, second = update.taken()
    # 0.5 * (gradient + parameter)
    assert first.tolist() == [5.5, -4.0]
    assert second.tolist() == [2.0]
    assert update.taken() is None  # once for each step


def test_a_step_that_is_not_measured_copies_nothing():
    update = update_of(parameters(), armed=False)
    update.note()
    assert update.taken() is None


def test_what_was_noted_can_be_dropped():
    update = update_of(parameters(), armed=True)
    update.note()
    update.forget()
    assert update.taken() is None
