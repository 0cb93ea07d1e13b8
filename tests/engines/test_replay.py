"""A forward pass that is repeated: the same output, and nothing of the model or of the random state is changed."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gradlens.engines.replay import ForwardCall, untouched


class Counting(nn.Module):
    """Draws dropout on a transposed tensor, and remembers in an attribute how often it ran."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.drop, self.calls = nn.Linear(6, 4), nn.Dropout(0.5), 0

    def forward(self, x: torch.Tensor, *, shift: float = 0.0) -> torch.Tensor:
        self.calls += 1
        return self.drop(self.layer(x).transpose(0, 1)) + shift


def tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    return dict(model.named_parameters()) | dict(model.named_buffers())


@pytest.mark.parametrize("transformed", [False, True])
def test_the_output_is_the_same(transformed):
    torch.manual_seed(0)
    model, x = Counting(), torch.randn(8, 6)
    torch.rand(3)
    call = ForwardCall.capture(model, (x,), {"shift": 2.0})
    output = model(x, shift=2.0)
    before = torch.get_rng_state()
    torch.rand(1)
    now = torch.get_rng_state()

    with untouched(model, call):
        if transformed:
            again = torch.func.vjp(lambda params: call.run(model, params), tensors(model))[0]
        else:
            again = call.run(model, tensors(model))
        assert torch.equal(torch.get_rng_state(), before)

    assert torch.equal(again, output)
    assert model.calls == 1
    assert torch.equal(torch.get_rng_state(), now)


def test_other_parameters_can_be_given():
    model = nn.Linear(2, 1, bias=False)
    x = torch.tensor([[1.0, 2.0]])
    call = ForwardCall.capture(model, (x,), {})
    with untouched(model, call):
        assert call.run(model, {"weight": torch.tensor([[10.0, 1.0]])}).tolist() == [[12.0]]
    assert model.weight.shape == (1, 2)


def test_autocast_is_as_it_was_in_the_call():
    model, x = nn.Linear(4, 4), torch.randn(2, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        call = ForwardCall.capture(model, (x,), {})
        output = model(x)
    with untouched(model, call):
        again = call.run(model, tensors(model))
    assert again.dtype == torch.bfloat16
    assert torch.equal(again, output)


def test_attributes_come_back_after_an_error():
    model = Counting()
    call = ForwardCall.capture(model, (torch.randn(2, 7),), {})  # the wrong width
    with pytest.raises(RuntimeError), untouched(model, call):
        call.run(model, tensors(model))
    assert model.calls == 0
