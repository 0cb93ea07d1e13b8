"""What modules returned and were given since the last backward pass."""

from __future__ import annotations

import torch
from torch import nn

from gradlens.tracking.find.outputs import REMEMBERED, Outputs


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 3)

    def forward(self, x):
        logits = self.layer(x)
        return {"logits": logits, "again": (logits, logits.argmax(1), logits.detach())}


def outputs_of(*modules: nn.Module, wanted=lambda: True) -> tuple[Outputs, list[Exception]]:
    failures: list[Exception] = []
    return Outputs(modules, wanted, failures.append), failures


def test_differentiable_tensors_are_returned_once():
    model, x = Twice(), torch.ones(4, 2)
    outputs, _ = outputs_of(model)
    logits = model(x)["logits"]
    (found,), (given,) = outputs.take(), outputs.take_inputs()
    assert found is logits
    assert given is x
    assert outputs.take() == outputs.take_inputs() == []
    outputs.stop()


def test_evaluations_and_steps_that_do_not_matter_are_not_kept():
    model, wanted = Twice(), [True]
    outputs, _ = outputs_of(model, wanted=lambda: wanted[0])
    with torch.no_grad():
        model(torch.ones(4, 2))
    wanted[0] = False
    model(torch.ones(4, 2))
    assert outputs.take() == []
    outputs.stop()


def test_of_many_forward_passes_the_newest_are_kept():
    model = nn.Linear(2, 3)
    outputs, _ = outputs_of(model)
    passes = [model(torch.ones(4, 2)) for _ in range(REMEMBERED + 3)]
    assert list(map(id, outputs.take())) == list(map(id, passes[3:]))
    outputs.stop()


def test_watching_can_stop_and_go_on():
    first, second = nn.Linear(2, 3), nn.Linear(3, 3)
    outputs, _ = outputs_of(first, second)
    second(first(torch.ones(4, 2)))
    outputs.stop()
    assert outputs.take() == outputs.take_inputs() == []
    assert not first._forward_hooks
    second(first(torch.ones(4, 2)))
    assert outputs.take() == []
    outputs.resume()
    outputs.resume()
    assert len(first._forward_hooks) == 1
    second(first(torch.ones(4, 2)))
    assert len(outputs.take()) == 2
    outputs.stop()


def test_an_error_of_ours_does_not_reach_the_forward_pass():
    model = nn.Linear(2, 3)
    outputs, failures = outputs_of(model, wanted=lambda: 1 // 0)
    assert model(torch.ones(4, 2)).shape == (4, 3)
    outputs.stop()
    assert [type(failure) for failure in failures] == [ZeroDivisionError]
