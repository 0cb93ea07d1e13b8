"""The model and the optimizer that a loss belongs to are found in memory, by its parameters."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.parallel import DataParallel

from gradlens.tracking.find.models import find_owners, hands_on


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(2, 3), nn.Linear(3, 2)


def sgd(*params: nn.Parameter) -> torch.optim.Optimizer:
    return torch.optim.SGD(params, lr=0.1)


def test_the_outermost_module_and_its_optimizer():
    model, other = Network(), Network()
    optimizer, unrelated = sgd(*model.parameters()), sgd(*other.parameters())
    found = find_owners(list(model.parameters()))
    assert found.model is model
    assert found.optimizer is optimizer
    assert found.optimizer is not unrelated
    assert (found.name, found.optimizers) == ("Network", 1)


def test_a_wrapper_is_taken_off():
    model = Network()
    wrapped = DataParallel(model)
    assert find_owners(list(wrapped.parameters())).model is model


def test_several_modules_of_a_script_are_joined():
    first, second = nn.Linear(2, 3), nn.Linear(3, 2)
    optimizers = sgd(first.weight), sgd(first.bias, *second.parameters())
    found = find_owners([*first.parameters(), *second.parameters()])
    assert {id(param) for param in found.model.parameters()} == {
        id(param) for layer in (first, second) for param in layer.parameters()
    }
    assert found.name == "Linear + Linear_2"
    assert found.optimizer is optimizers[1]  # it updates most of them
    assert found.optimizers == 2


def test_an_input_that_wants_a_gradient_is_no_parameter():
    model, x = Network(), torch.ones(2, requires_grad=True)
    optimizer = sgd(*model.parameters())
    found = find_owners([x, *model.parameters()])
    assert found.model is model
    assert found.optimizer is optimizer


def test_loose_tensors_are_held_by_a_module_of_ours():
    loose = [torch.ones(2, requires_grad=True), torch.ones(3, requires_grad=True)]
    found = find_owners(loose)
    assert list(map(id, found.model.parameters())) == list(map(id, loose))
    assert (found.name, found.optimizer) == ("of loose tensors", None)
    with pytest.raises(LookupError):
        find_owners([])


class Wrapper(torch.optim.Optimizer):
    """Steps with another optimizer."""

    def __init__(self, inner: torch.optim.Optimizer) -> None:
        super().__init__(inner.param_groups, {})
        self.inner = inner


def test_an_optimizer_that_only_wraps_another_one_does_not_count():
    model = Network()
    inner = sgd(*model.parameters())
    wrapper = Wrapper(inner)
    assert hands_on(wrapper)
    assert not hands_on(inner)
    found = find_owners(list(model.parameters()))
    assert found.optimizer is inner
    assert found.optimizers == 1
