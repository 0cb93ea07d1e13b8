"""The walk through the autograd graph, on graphs made by hand, and that nobody else walks it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import gradlens
from gradlens.autograd.graph import Leaf, edge_of, inputs_of, walk


@pytest.fixture
def a():
    return torch.ones(2, requires_grad=True)


def names(found):
    return [node.name().removesuffix("Backward0").rpartition("::")[2] for node in found]


def test_each_node_comes_once(a):
    b = a.exp()
    c = (b.sin() * b.cos()).sum()
    found = list(walk([edge_of(c), edge_of(b)]))
    assert sorted(names(found)) == ["AccumulateGrad", "Cos", "Exp", "Mul", "Sin", "Sum"]
    assert set(found) == {c.grad_fn, b.grad_fn, *walk([edge_of(c)])}
    assert next(node for node in found if type(node) is Leaf).variable is a


def test_no_graph_is_nothing(a):
    assert list(walk([edge_of(torch.ones(2))])) == []
    assert list(walk([])) == []
    b = a * torch.ones(2)  # one of its inputs has no graph
    assert [node for node, _ in inputs_of(b.grad_fn)][1] is None
    assert names(walk([edge_of(b)])) == ["Mul", "AccumulateGrad"]


def test_by_edge_a_node_comes_for_each_output_that_is_used(a):
    first, second = a.exp().unbind()
    c = (first + second).sin() + first
    assert names(walk([edge_of(c)])).count("Unbind") == 1
    edges = list(walk([edge_of(c)], by_edge=True))
    assert sorted(number for node, number in edges if node is first.grad_fn) == [0, 1]
    assert len(edges) == len(set(edges)) == len(list(walk([edge_of(c)]))) + 1


def test_nearest_first(a):
    near, far = a.sin(), a.cos().tan().exp()
    for c in (near + far, far + near):
        found = names(walk([edge_of(c)], nearest_first=True, leaves=False))
        assert found[0] == "Add"
        assert set(found[1:3]) == {"Sin", "Exp"}
        assert found[3:] == ["Tan", "Cos"]


def test_otherwise_one_branch_ends_before_the_next(a):
    c = a.cos().tan() + a.sin().exp()
    assert names(walk([edge_of(c)], leaves=False)) == ["Add", "Exp", "Sin", "Tan", "Cos"]


def test_stops_are_not_followed_but_the_same_node_may_be_reached_elsewhere(a):
    first, second = a.exp().unbind()
    b = first.sin()
    c = b + second
    assert names(walk([edge_of(b)], stops={edge_of(first)})) == ["Sin"]
    assert "Unbind" in names(walk([edge_of(c)], stops={edge_of(first)}))
    assert "Unbind" not in names(walk([edge_of(c)], stops={edge_of(first), edge_of(second)}))
    assert list(walk([edge_of(c)], stops={edge_of(c)})) == []


def test_ends_come_and_nothing_below_them(a):
    b = a.exp().tan()
    c = b.sin() + a
    assert sorted(names(walk([edge_of(c)], ends={b.grad_fn}))) == ["AccumulateGrad", "Add", "Sin", "Tan"]
    by_edge = [node for node, _ in walk([edge_of(c)], by_edge=True, ends={edge_of(b)})]
    assert sorted(names(by_edge)) == ["AccumulateGrad", "Add", "Sin", "Tan"]


def test_the_caller_may_end_a_branch_when_it_has_come(a):
    ends = set()
    found = []
    for node in walk([edge_of(a.exp().tan().sin())], ends=ends):
        found.append(node)
        if "Tan" in node.name():
            ends.add(node)
    assert names(found) == ["Sin", "Tan"]


@pytest.mark.parametrize("nearest_first", [True, False])
def test_no_more_come_than_asked_for(a, nearest_first):
    c = a.exp().tan().sin() + a.cos()
    everything = list(walk([edge_of(c)], nearest_first=nearest_first))
    assert len(everything) == 6
    for most in range(8):
        assert list(walk([edge_of(c)], nearest_first=nearest_first, most=most)) == everything[:most]


def test_inputs_are_there_before_a_node_comes(a):
    known = {}
    for node in walk([edge_of((a.exp() * 2).sum())], inputs=known):
        assert known[node] == inputs_of(node)
    assert len(known) == 4


class Keeps(torch.autograd.Function):
    """A function of a script that keeps a tensor under the name that torch uses for leaves."""

    @staticmethod
    def forward(ctx, x):
        ctx.variable = torch.zeros(2, requires_grad=True)
        return x * 2

    @staticmethod
    def backward(ctx, g):
        return g * 2


def test_only_what_adds_up_a_gradient_is_a_leaf(a):
    from gradlens.tracking.find.loss_calls import leaves

    c = Keeps.apply(a.exp()).sum()
    assert len(list(walk([edge_of(c)], leaves=False))) == 3
    (leaf,) = leaves([c])
    assert leaf is a


def test_nobody_else_walks_the_graph():
    package = Path(gradlens.__file__).parent
    readers = {str(path.relative_to(package)) for path in package.rglob("*.py") if "next_functions" in path.read_text()}
    assert readers == {"autograd/graph.py"}
