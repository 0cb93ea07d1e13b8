"""What an optimizer step takes off the parameters: new less old, with the sign turned, worked by hand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from gradlens.measure.optimizer_update import OptimizerUpdate, Update
from gradlens.measure.schedule.clock import Clock


def update_of(params: list[torch.nn.Parameter], *, armed: bool, required: bool = True) -> OptimizerUpdate:
    current = SimpleNamespace(meter=SimpleNamespace(params=params))
    return OptimizerUpdate(SimpleNamespace(armed=armed), current, Clock(), Update(measured=True, required=required))


def parameters() -> list[torch.nn.Parameter]:
    params = [torch.nn.Parameter(torch.tensor([1.0, 2.0])), torch.nn.Parameter(torch.tensor([3.0]))]
    params[0].grad, params[1].grad = torch.tensor([10.0, -10.0]), torch.tensor([1.0])
    return params


def test_the_step_of_gradient_descent():
    params = parameters()
    update = update_of(params, armed=True)
    optimizer = torch.optim.SGD(params, lr=0.5, weight_decay=1.0)
    update.note(optimizer)
    optimizer.step()
    first, second = update.taken()
    # 0.5 * (gradient + parameter)
    assert first.tolist() == [5.5, -4.0]
    assert second.tolist() == [2.0]
    assert update.taken() is None  # once for each step
    assert update.last == [first, second]  # for a probe


def test_a_step_that_is_not_measured_copies_nothing():
    params = parameters()
    update = update_of(params, armed=False)
    update.note(torch.optim.SGD(params))
    assert update.taken() is None


def test_what_was_noted_can_be_dropped():
    params = parameters()
    update = update_of(params, armed=True)
    update.note(torch.optim.SGD(params))
    update.forget()
    assert update.taken() is None


@pytest.mark.parametrize(("owned", "there"), [(2, True), (1, False)])
def test_by_default_only_the_whole_update_is_measured(owned, there):
    params = parameters()
    update = update_of(params, armed=True, required=False)
    update.note(torch.optim.SGD(params[:owned]))  # another optimizer may move the rest
    assert (update.taken() is not None) == there
    assert update.last is None


class Told:
    """A recorder that keeps what it is told."""

    def __init__(self) -> None:
        self.warned: list[str] = []
        self.logged: list[str] = []

    def warn(self, kind: str, step: int, message: str) -> None:
        self.warned.append(message)

    def event(self, kind: str, step: int, *, message: str) -> None:
        self.logged.append(message)


def of_sizes(*sizes: int) -> list[torch.nn.Parameter]:
    return [torch.nn.Parameter(torch.zeros(1).expand(size)) for size in sizes]


def test_a_small_model_with_one_optimizer_is_measured_by_default():
    params = of_sizes(3, 4)
    assert Update.of(None, torch.optim.SGD(params), params, 2) == Update(measured=True)


@pytest.mark.parametrize(
    ("sizes", "owned", "shards", "why"),
    [
        ((3, 4), 0, False, "no optimizer is known"),
        ((3, 4), 1, False, "owns only 1 of 2"),
        ((3, 4), 2, True, "in shards"),
        ((2**27, 2**27), 2, False, "4,096 MiB"),  # four vectors of 2 ** 28 numbers
    ],
    ids=["no optimizer", "another optimizer", "shards", "large"],
)
def test_what_speaks_against_it_is_logged_and_not_warned_of(sizes, owned, shards, why):
    params = of_sizes(*sizes)
    optimizer = torch.optim.SGD(params[:owned]) if owned else None
    chosen, told = Update.of(None, optimizer, params, 2, shards=shards), Told()
    chosen.tell(told, 0)
    assert not chosen.measured
    assert told.warned == []
    assert why in told.logged[0]


def test_who_asks_gets_it_in_any_case_and_is_warned_where_it_cannot_be():
    params = of_sizes(3, 4)
    assert Update.of(True, torch.optim.SGD(params[:1]), params, 2, shards=True).measured
    told = Told()
    Update.of(True, None, params, 2).tell(told, 0)
    assert "needs the optimizer" in told.warned[0]
    Update.of(False, None, params, 2).tell(told, 0)
    assert len(told.warned) == 1
    assert told.logged == []
