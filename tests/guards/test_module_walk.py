"""The walk over the modules of a model finds what torch's own methods find."""

from __future__ import annotations

import torch
from torch import nn

from gradlens.guards.module_walk import modules_of, parameters_of


def test_it_finds_each_module_once_level_by_level() -> None:
    shared = nn.Linear(2, 2)
    model = nn.Sequential(nn.Sequential(shared, nn.ReLU()), shared, nn.Sequential(nn.Tanh(), shared))
    model.register_module("nothing", None)
    found = modules_of(model)
    assert len(found) == len({id(module) for module in found}) == 6
    assert {id(module) for module in found} == {id(module) for module in model.modules()}
    assert [type(module).__name__ for module in found] == ["Sequential"] * 2 + ["Linear", "Sequential", "ReLU", "Tanh"]


def test_it_finds_the_parameters_and_shows_where_one_was_replaced() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.Linear(3, 3, bias=False)))
    before = parameters_of(model)
    assert [id(param) for param in before] == [id(param) for param in model.parameters()]
    model[1][0].weight = nn.Parameter(torch.zeros(3, 3))
    assert [a is b for a, b in zip(before, parameters_of(model), strict=True)] == [True, True, False]


def test_a_tied_parameter_is_there_at_each_of_its_places() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    assert len(parameters_of(model)) == 4
    assert parameters_of(model)[2] is parameters_of(model)[0]


def test_scripted_children_are_found() -> None:
    model = nn.Sequential(torch.jit.script(nn.Sequential(nn.Linear(2, 2))), nn.ReLU())
    assert len(modules_of(model)) == len(list(model.modules()))
