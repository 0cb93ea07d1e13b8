"""What the audit reads off a graph: uses outside of layers, and what hides or mixes samples."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from gradlens.autograd.graph import edge_of
from gradlens.engines.audit import Region, audit, enters
from gradlens.engines.protocol import EngineRefusal


class Called:
    """A linear layer with the region of its call."""

    def __init__(self, x: torch.Tensor, name: str = "layer") -> None:
        self.layer = nn.Linear(3, 3)
        self.output = self.layer(x)
        own = frozenset(map(id, self.layer.parameters()))
        self.region = Region(self.output.grad_fn, frozenset([edge_of(x)]), own, name)


def input_of_network() -> torch.Tensor:
    return torch.ones(4, 3, requires_grad=True) * 1


def measured(*modules: nn.Module) -> set[int]:
    return {id(param) for module in modules for param in module.parameters()}


def test_uses_inside_a_layer_are_its_own_and_others_are_direct():
    scale = nn.Parameter(torch.ones(3))
    call = Called(input_of_network())
    anchor = call.output * scale
    account = audit([anchor], [call.region], measured(call.layer) | {id(scale)})
    (use,) = account.direct
    assert use.param is scale
    assert use.node is anchor.grad_fn
    assert use.position == 1
    assert call.output.grad_fn in account.nodes

    # Without the region each parameter of the layer is used directly; of those that are not measured nothing is said.
    assert len(audit([anchor], [], measured(call.layer) | {id(scale)}).direct) > 1
    assert audit([anchor], [], set()).direct == ()


def test_a_layer_that_uses_the_parameter_of_another_is_refused():
    first, x = Called(input_of_network(), "first"), input_of_network()
    output = F.linear(x, first.layer.weight)
    region = Region(output.grad_fn, frozenset([edge_of(x)]), frozenset(), "second")
    with pytest.raises(EngineRefusal, match="second uses a parameter that does not belong to it"):
        audit([output], [first.region, region], measured(first.layer))


@pytest.mark.parametrize("training", [True, False])
def test_normalisation_over_the_batch_is_refused(training):
    mean, var, weight = torch.zeros(3), torch.ones(3), nn.Parameter(torch.ones(3))
    anchor = F.batch_norm(input_of_network(), mean, var, weight, training=training)
    if training:
        with pytest.raises(EngineRefusal, match="mixes the samples"):
            audit([anchor], [], {id(weight)})
    else:
        assert len(audit([anchor], [], {id(weight)}).direct) == 1


def test_normalisation_of_each_sample_mixes_nothing():
    anchor = F.instance_norm(torch.randn(4, 3, 5, requires_grad=True) * 1)
    audit([anchor], [], set())


def test_reentrant_checkpointing_hides_layers():
    anchor = checkpoint(nn.Linear(3, 3), input_of_network(), use_reentrant=True)
    with pytest.raises(EngineRefusal, match="use_reentrant=False"):
        audit([anchor], [], set())


def test_a_loss_that_enters_the_network_past_the_anchor():
    hidden = input_of_network()
    anchor = hidden * 2
    below = audit([anchor], [], set()).nodes
    assert not enters(anchor.sum(), [anchor], below)
    assert enters(anchor.sum() + hidden.sum(), [anchor], below)
