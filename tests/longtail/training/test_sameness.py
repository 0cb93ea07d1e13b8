"""Whether two objects have the same parts. In doubt they differ."""

import copy
from dataclasses import dataclass
from functools import partial

import pytest
import torch
from torch import nn

from gradlens.longtail.training.sameness import same


@dataclass
class Part:
    rate: float
    of: object = None

    def double(self):
        return 2 * self.rate


class Opaque:
    pass


def function():
    return 1


LINEAR = nn.Linear(2, 3)
OPAQUE = Opaque()

ALIKE = [
    (1.5, 1.5),
    ("a", "a"),
    ({1, 2}, {2, 1}),
    ([1, (2, "x")], [1, (2, "x")]),
    ({"a": [1]}, {"a": [1]}),
    (torch.ones(2, 3), torch.ones(2, 3)),
    (Part(0.1, [1]), Part(0.1, [1])),
    (Part(0.1).double, Part(0.1).double),
    (partial(function, 1, x=[2]), partial(function, 1, x=[2])),
    (LINEAR, copy.deepcopy(LINEAR)),
    (OPAQUE, OPAQUE),
    (None, None),
]
APART = [
    (1, 1.0),
    (True, 1),
    (0.1, 0.2),
    ([1], (1,)),
    ([1, 2], [1]),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),  # another order
    ({"a": 1, "b": 1}, {"b": 1, "a": 1}),
    ({"a": 1}, {"b": 1}),
    ({"a": 1}, {"a": 2}),
    (torch.ones(2), torch.ones(2, dtype=torch.float64)),
    (torch.ones(2), torch.ones(2, requires_grad=True)),
    (torch.ones(2, 2), torch.ones(4)),
    (torch.zeros(2, 3), torch.zeros(3, 2).T),  # another layout
    (torch.zeros(2), torch.tensor([0.0, 1.0])),
    (Part(0.1), Part(0.2)),
    (Part(0.1).double, Part(0.2).double),
    (partial(function, 1), partial(function, 2)),
    (LINEAR, nn.Linear(2, 3)),
    (lambda: 1, lambda: 1),
    (Opaque(), Opaque()),
]


@pytest.mark.parametrize("pair", ALIKE)
def test_the_same(pair):
    assert same(*pair) is True


@pytest.mark.parametrize("pair", APART)
def test_different(pair):
    assert same(*pair) is False
    assert same(*reversed(pair)) is False


def test_a_module_in_another_mode_is_another():
    other = copy.deepcopy(LINEAR).eval()
    assert not same(LINEAR, other)
    changed = copy.deepcopy(LINEAR)
    with torch.no_grad():
        changed.weight[0, 0] += 1
    assert not same(LINEAR, changed)
