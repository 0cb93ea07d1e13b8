"""The lifted structured loss and the range loss: by hand, against loops, and where there is nothing to compare."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
import torch

from gradlens.longtail.methods.parts.pair_losses import lifted_structured, range_between, range_within


def points(*values):
    return torch.tensor(values, dtype=torch.float64)[:, None].requires_grad_()


def test_the_lifted_loss_of_four_samples_worked_out_by_hand():
    """At 0 and 1 of class 0, at 3 and 5 of class 1, margin 1. Distances to the other class are 3, 5, 2 and 4 for either pair.

    So both logarithms are log(e^-2 + e^-4 + e^-1 + e^-3); the pairs are 1 and 2 apart; there are two of them.
    """
    both = math.log(math.exp(-2) + math.exp(-4) + math.exp(-1) + math.exp(-3))
    found = lifted_structured(points(0, 1, 3, 5), torch.tensor([0, 0, 1, 1]), 1.0)
    assert found.item() == pytest.approx(((both + 1) ** 2 + (both + 2) ** 2) / 4, rel=1e-12)


def test_a_pair_that_is_close_enough_has_no_loss():
    loss = lifted_structured(points(0.0, 0.1, 9.0), torch.tensor([0, 0, 1]), 1.0)
    assert loss.item() == 0


def looped_lifted(features, labels, margin):
    """Equation 4, pair by pair."""
    terms = []
    for i, j in combinations(range(len(labels)), 2):
        if labels[i] == labels[j]:
            total = sum(
                torch.exp(margin - (features[a] - features[k]).norm())
                for a in (i, j)
                for k in range(len(labels))
                if labels[k] != labels[a]
            )
            terms.append(torch.relu(torch.log(total) + (features[i] - features[j]).norm()) ** 2)
    return sum(terms) / (2 * len(terms))


def looped_range(features, labels, largest, margin, power):
    """The harmonic means of the largest distances, class by class, and the margin of the closest means."""
    within = 0.0
    classes = sorted(set(labels.tolist()))
    for label in classes:
        own = [f for f, other in zip(features, labels, strict=True) if other == label]
        distances = sorted(((a - b).norm() ** power for a, b in combinations(own, 2)), reverse=True)[:largest]
        within = within + (len(distances) / sum(1 / d for d in distances) if distances else 0.0)
    means = [torch.stack([f for f, other in zip(features, labels, strict=True) if other == c]).mean(0) for c in classes]
    nearest = min((a - b).norm() ** power for a, b in combinations(means, 2))
    return within, torch.relu(margin - nearest)


LABELS = torch.tensor([0, 2, 0, 1, 2, 2, 0, 1, 2, 5, 0])


def features():
    return torch.randn(11, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()


def test_the_lifted_loss_and_its_gradient_agree_with_loops():
    f = features()
    loss, expected = lifted_structured(f, LABELS, 1.3), looped_lifted(f, LABELS, 1.3)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-10)
    ours, theirs = (torch.autograd.grad(value, f)[0] for value in (loss, expected))
    assert theirs.abs().max() > 0.01
    assert torch.allclose(ours, theirs, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("squared", [False, True])
def test_the_range_loss_and_its_gradient_agree_with_loops(squared):
    f, power = features(), 2 if squared else 1
    within, between = range_within(f, LABELS, 2, squared), range_between(f, LABELS, 4.0, squared)
    expected = looped_range(f, LABELS, 2, 4.0, power)
    for value, other in zip((within, between), expected, strict=True):
        assert value.item() == pytest.approx(other.item(), rel=1e-10)
        assert value.item() > 0
        ours, theirs = (torch.autograd.grad(v, f, retain_graph=True)[0] for v in (value, other))
        assert torch.allclose(ours, theirs, rtol=1e-8, atol=1e-12)


def test_the_range_loss_of_six_samples_worked_out_by_hand():
    """Class 0 at 0, 3 and 4: the distances 4 and 3 of 4, 3 and 1. Class 1 at 10 and 12 has one; class 2 is alone, at 20.

    The class means 7/3, 11 and 20 are 26/3 and 9 apart.
    """
    f, labels = points(0, 3, 4, 10, 12, 20), torch.tensor([0, 0, 0, 1, 1, 2])
    assert range_within(f, labels, 2).item() == pytest.approx(2 / (1 / 4 + 1 / 3) + 2, rel=1e-12)
    assert range_within(f, labels, 1).item() == pytest.approx(4 + 2, rel=1e-12)
    assert range_within(f, labels, 2, squared=True).item() == pytest.approx(2 / (1 / 16 + 1 / 9) + 4, rel=1e-12)
    assert range_between(f, labels, 10.0).item() == pytest.approx(10 - 26 / 3, rel=1e-12)
    assert range_between(f, labels, 8.0).item() == 0
    assert range_between(f, labels, 100.0, squared=True).item() == pytest.approx(100 - (26 / 3) ** 2, rel=1e-12)


LOSSES = {
    "lifted": lambda f, labels: lifted_structured(f, labels, 5.0),
    "within": lambda f, labels: range_within(f, labels, 2),
    "between": lambda f, labels: range_between(f, labels, 5.0),
}
CASES = {
    "one class": ([1.0, 2.0, 4.0], [3, 3, 3]),
    "no class twice": ([1.0, 2.0, 4.0], [0, 1, 2]),
    "equal features": ([1.0, 1.0, 1.0, 1.0], [0, 0, 1, 1]),
    "one sample": ([1.0], [0]),
}


NOTHING = {
    *((loss, "one sample") for loss in LOSSES),
    *(("lifted", case) for case in ("one class", "no class twice")),
    ("within", "no class twice"),
    ("between", "one class"),
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_losses_and_gradients_are_finite(loss, case, dtype):
    values, labels = CASES[case]
    f = torch.tensor(values, dtype=dtype)[:, None].expand(-1, 2).clone().requires_grad_()
    value = LOSSES[loss](f, torch.tensor(labels))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(f.grad).all()
    if (loss, case) in NOTHING:
        assert value.item() == 0
        assert f.grad.eq(0).all()
