"""What is kept of one call of a layer: enough to refuse it in time, and no longer than it is needed."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch import nn

from gradlens.batch.selection import Selection
from gradlens.engines.audit import Region
from gradlens.engines.group_sums import GroupSums
from gradlens.engines.layer_calls import CHANGED, AttentionCall, LayerCall
from gradlens.engines.layers import attention, kind_of

NOWHERE = Region(None, frozenset(), frozenset(), "layer")


def call_of(layer: nn.Module, inputs: torch.Tensor) -> LayerCall:
    kind = kind_of(layer)
    assert kind is not None
    return LayerCall(NOWHERE, kind, layer, inputs, inputs._version)


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ((4, 2, 5, 5), None),
        ((2, 5, 5), "its input has 3 dimensions; it needs 4"),
        ((3, 2, 5, 5), r"its input has 3 rows for 4 labels (shape [3, 2, 5, 5])"),
    ],
)
def test_the_first_dimension_must_count_the_samples(shape, reason):
    found = call_of(nn.Conv2d(2, 3, 1), torch.zeros(shape)).refusal(4, ())
    assert found is None if reason is None else reason in found


def test_an_input_that_is_written_to_is_refused():
    inputs = torch.zeros(4, 3)
    call = call_of(nn.Linear(3, 2), inputs)
    assert call.refusal(4, ()) is None
    inputs.add_(1)
    assert call.refusal(4, ()) == CHANGED


def test_the_input_is_let_go_as_soon_as_it_was_used():
    layer, inputs = nn.Linear(3, 2), torch.ones(4, 3)
    call, alive = call_of(layer, inputs), weakref.ref(inputs)
    sums = GroupSums(list(layer.parameters()), [Selection(torch.tensor([1, 2]), None)])
    call.add(sums, torch.ones(4, 2))
    del inputs
    gc.collect()
    assert alive() is None
    assert sums.result()[0][1].tolist() == [2.0, 2.0]


class Attended:
    """One call of an attention layer on itself."""

    def __init__(self, x: torch.Tensor) -> None:
        torch.manual_seed(0)
        self.layer = nn.MultiheadAttention(4, 2, batch_first=True).double()
        self.output, self.weights = self.layer(x, x, x)
        self.params = tuple(self.layer.parameters())
        arguments = attention.bind(self.layer, (x, x, x), {})
        self.call = AttentionCall(
            NOWHERE, self.layer, self.params, arguments, self.weights.grad_fn, [x._version for _ in range(3)]
        )


def test_attention_is_run_again_for_each_group_that_has_rows():
    x = torch.randn(4, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    attended = Attended(x)
    chosen = [Selection(torch.tensor([0, 2]), None), Selection(torch.tensor([], dtype=torch.long), None)]
    sums = GroupSums(attended.params, chosen)
    grads = torch.randn(4, 3, 4, dtype=torch.float64)

    attended.call.add(sums, grads)
    attended.call.finish(sums)

    found, nothing = sums.result()
    seeds = grads * torch.tensor([1.0, 0.0, 1.0, 0.0], dtype=torch.float64)[:, None, None]
    for gradient, truth in zip(found, torch.autograd.grad(attended.output, attended.params, seeds), strict=True):
        torch.testing.assert_close(gradient, truth)
    assert nothing == [None] * len(attended.params)


def test_what_attention_refuses():
    x = torch.randn(4, 3, 4, dtype=torch.float64)
    attended = Attended(x)
    assert attended.call.refusal(4, ()) is None
    assert "its input has shape [4, 3, 4] for 5 labels" in attended.call.refusal(5, ())
    assert attended.call.refusal(4, {attended.weights.grad_fn}) == "the loss uses its attention weights"
    x.mul_(1)
    assert attended.call.refusal(4, ()) == CHANGED
