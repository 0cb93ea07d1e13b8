"""What a script names is kept until the backward pass that it is about."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gradlens.tracking.find.observed import GRAPHS, Observed

LABELS = torch.zeros(2).long()


def forward() -> Tensor:
    return nn.Linear(3, 3)(torch.ones(2, 3))


def test_a_pair_is_given_once():
    observed, outputs = Observed(), forward()
    observed.add(outputs, LABELS)
    ((found, labels),) = observed.take([outputs.sum()])
    assert found is outputs
    assert labels is LABELS
    assert observed.take([outputs.sum()]) == []


def test_only_pairs_that_the_pass_reaches_are_given():
    observed, graphs = Observed(), [forward() for _ in range(3)]
    for outputs in graphs:
        observed.add(outputs, LABELS)
    found = observed.take([graphs[0].sum() + graphs[1].sum()])
    assert [outputs is graph for (outputs, _), graph in zip(found, graphs, strict=False)] == [True, True]


def test_the_last_one_stands_for_a_pass_that_reaches_none():
    observed, graphs = Observed(), [forward() for _ in range(2)]
    for outputs in graphs:
        observed.add(outputs, LABELS)
    ((found, _),) = observed.take([forward().sum()])
    assert found is graphs[1]


def test_parts_of_one_graph_are_all_kept_and_of_many_graphs_the_newest():
    observed, whole = Observed(), forward()
    hidden = whole * 2
    steps = [hidden[:1] * number for number in range(20)]
    for each in steps:
        observed.add(each, LABELS[:1])
    assert len(observed.take([torch.cat(steps).sum()])) == 20

    graphs = [forward() for _ in range(GRAPHS + 2)]
    for outputs in graphs:
        observed.add(outputs, LABELS)
    found = observed.take([torch.cat(graphs).sum()])
    assert [id(outputs) for outputs, _ in found] == list(map(id, graphs[2:]))


def test_everything_can_be_dropped():
    observed, outputs = Observed(), forward()
    observed.add(outputs, LABELS)
    observed.forget()
    assert observed.take([outputs.sum()]) == []
