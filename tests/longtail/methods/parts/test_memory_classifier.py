"""OLTR's classifier and the losses of its centroids: by hand, against autograd, and where a distance is 0."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from gradlens.longtail.methods.oltr import squared_distances
from gradlens.longtail.methods.parts.memory_classifier import MemoryClassifier, attraction, repulsion


def classifier():
    """h = (2, 2), as both classes score the same; e = (-1/2, 1/2)."""
    made = MemoryClassifier(nn.Linear(2, 2), scale=11.0, reach=6.0).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.zero_()
        made.selector.bias.copy_(torch.tensor([math.atanh(-0.5), math.atanh(0.5)], dtype=torch.float64))
        made.weight.copy_(torch.tensor([[5.0, 0.0], [0.0, 0.1]], dtype=torch.float64))
        made.centroids.copy_(torch.tensor([[4.0, 0.0], [0.0, 4.0]]))
    return made


def test_the_logits_of_one_sample_worked_out_by_hand():
    """f = (4, 3) is 3 away from the first centroid, sqrt(17) from the second: r = 6 / 3.

    f + e * h = (4 - 1, 3 + 1), so v = (6, 8), whose length is 10 and whose cosines are 0.6 and 0.8: 11 * 10 / 11 * them.
    """
    found = classifier()(torch.tensor([[4.0, 3.0]], dtype=torch.float64))
    assert torch.allclose(found, torch.tensor([[6.0, 8.0]], dtype=torch.float64), rtol=1e-12)


def test_no_gradient_of_the_logits_reaches_the_centroids():
    made = classifier()
    features = torch.tensor([[4.0, 3.0], [1.0, 2.0]], dtype=torch.float64, requires_grad=True)
    made(features).square().sum().backward()
    assert made.centroids.grad is None
    assert features.grad.abs().min() > 0
    assert torch.autograd.gradcheck(made, torch.tensor([[4.0, 3.0], [1.0, 2.0]], dtype=torch.float64).requires_grad_())


@pytest.mark.parametrize("row", [[4.0, 0.0], [0.0, 0.0]], ids=["at a centroid", "at zero"])
def test_logits_and_gradients_are_finite_where_a_distance_or_a_length_is_0(row):
    made = classifier()
    if row == [0.0, 0.0]:
        with torch.no_grad():
            made.centroids.zero_()
    features = torch.tensor([row], dtype=torch.float64, requires_grad=True)
    logits = made(features)
    logits.sum().backward()
    assert torch.isfinite(logits).all()
    assert all(torch.isfinite(p.grad).all() for p in (*made.parameters(), features) if p.grad is not None)


def test_it_starts_as_the_reference_does():
    torch.manual_seed(0)
    linear = nn.Linear(100, 50)
    made = MemoryClassifier(linear, 16.0, 10.0)
    assert made.hallucinator is linear
    assert made.centroids.eq(0).all()
    assert 0.0995 < float(made.weight.detach().abs().max()) <= 0.1
    assert float(made.weight.detach().std()) == pytest.approx(0.2 / math.sqrt(12), rel=0.03)  # uniform


def test_the_attraction_worked_out_by_hand():
    """Class 0 has two samples 1 and 3 away from its centroid, class 2 has one that is 1 away, class 1 has none."""
    features = torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 2.0]], dtype=torch.float64, requires_grad=True)
    centroids = torch.tensor([[0.0, 0.0], [7.0, 7.0], [0.0, 1.0]], dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 0, 2])
    loss = attraction(features, centroids[labels], labels, 3)
    assert loss.item() == pytest.approx((1 + 9 + 1) / 2 / 3, rel=1e-12)
    loss.backward()
    expected = torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 1.0]], dtype=torch.float64) / 3
    assert torch.allclose(features.grad, expected)
    # (0 - 1) + (0 - 3) over 1 + 2 samples; 1 - 2 over 1 + 1; and all over the batch of 3
    by_hand = torch.tensor([[-4 / 3, 0.0], [0.0, 0.0], [0.0, -1 / 2]], dtype=torch.float64) / 3
    assert torch.allclose(centroids.grad, by_hand)


def test_the_repulsion_worked_out_by_hand():
    """The squares of other classes are 4 and 9: 13 over 2 samples and 2 classes."""
    squares = torch.tensor([[1.0, 4.0], [9.0, 2.0]], requires_grad=True)
    loss = repulsion(squares, torch.tensor([0, 1]), 10.0)
    loss.backward()
    assert loss.item() == pytest.approx(10 - 13 / 4)
    assert squares.grad.tolist() == [[0.0, -0.25], [-0.25, 0.0]]
    assert repulsion(squares, torch.tensor([0, 1]), 3.0).item() == 0


def test_squared_distances():
    features, centroids = torch.randn(5, 3).double(), torch.randn(4, 3).double()
    expected = [[float(((f - c) ** 2).sum()) for c in centroids] for f in features]
    assert torch.allclose(squared_distances(features, centroids), torch.tensor(expected, dtype=torch.float64))
