"""Exemplar selection against a hand-worked case and a slow transcription of Equations 2-5."""

import math

import pytest
import torch

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods.parts.exemplars import herding_order, residual_order, select_exemplars


def directions(*degrees):
    return torch.tensor([[math.cos(math.radians(a)), math.sin(math.radians(a))] for a in degrees])


def test_residual_order_by_hand():
    # Directions 0, 10 and 80 degrees. Their mean (0.7195, 0.3862) points to 28.2 degrees, so 10 degrees comes first.
    # What it lacks, 2 c - m_1 = (0.4542, 0.5988), points to 52.8 degrees: 80 degrees (27 away) before 0 (53 away).
    x = directions(0, 10, 80)
    assert x.mean(0).tolist() == pytest.approx([0.7195, 0.3862], abs=1e-4)
    assert residual_order(x, 3).tolist() == [1, 2, 0]


def test_herding_order_by_hand():
    # Mean (0.7195, 0.3862). Alone, 10 degrees is nearest; with it, 80 degrees brings the mean to (0.579, 0.579), 0
    # degrees to (0.992, 0.087): distances 0.239 and 0.405.
    assert herding_order(directions(0, 10, 80), 2).tolist() == [1, 2]


def literal_selection(x, size):
    """Equations 2-5 with Python floats, word by word, without replacement."""
    rows = [row.tolist() for row in x.double()]
    dims = range(len(rows[0]))
    c = [sum(row[d] for row in rows) / len(rows) for d in dims]

    def cosine(a, b):
        dot = sum(p * q for p, q in zip(a, b, strict=True))
        return dot / math.sqrt(sum(p * p for p in a) * sum(q * q for q in b))

    chosen = [max(range(len(rows)), key=lambda i: cosine(c, rows[i]))]
    while len(chosen) < size:
        weights = [math.exp(cosine(c, rows[i])) for i in chosen]
        z = [sum(w * rows[i][d] for w, i in zip(weights, chosen, strict=True)) / sum(weights) for d in dims]
        target = [2 * c[d] - z[d] for d in dims]
        left = [i for i in range(len(rows)) if i not in chosen]
        chosen.append(max(left, key=lambda i: cosine(target, rows[i])))
    return chosen


def test_residual_order_equals_the_equations():
    x = torch.nn.functional.normalize(torch.randn(40, 6, generator=torch.Generator().manual_seed(0)) + 0.5, dim=1)
    assert residual_order(x, 15).tolist() == literal_selection(x, 15)


@pytest.mark.parametrize("method", ["residual", "herding", "random"])
def test_no_repeats_capped_and_deterministic(method):
    generator = torch.Generator().manual_seed(1)
    labels = torch.tensor([0] * 12 + [1] * 3 + [2] * 7)[torch.randperm(22, generator=generator)]
    features = torch.randn(22, 5, generator=generator)
    features[labels == 2] = 1.0  # equal features must not be chosen twice either
    first, again = (
        select_exemplars(features, labels, 5, method=method, generator=torch.Generator().manual_seed(2))
        for _ in range(2)
    )
    assert torch.equal(first, again)
    assert len(set(first.tolist())) == len(first) == 13
    assert labels[first].tolist() == [0] * 5 + [1] * 3 + [2] * 5


def test_lengths_of_features_do_not_matter():
    features = torch.randn(30, 4, generator=torch.Generator().manual_seed(3))
    lengths = torch.rand(30, 1, generator=torch.Generator().manual_seed(4)) + 0.1
    labels = torch.zeros(30, dtype=torch.long)
    assert torch.equal(select_exemplars(features, labels), select_exemplars(features * lengths, labels))


def test_herding_reaches_the_class_mean_better_than_chance():
    generator = torch.Generator().manual_seed(5)
    x = torch.nn.functional.normalize(torch.randn(300, 16, generator=generator) + 1, dim=1)
    distance = lambda order: (x[order].mean(0) - x.mean(0)).norm().item()  # noqa: E731
    chance = sum(distance(torch.randperm(300, generator=generator)[:10]) for _ in range(50)) / 50
    assert distance(herding_order(x, 10)) < 0.5 * chance


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"per_class": 0}, "per_class=0"),
        ({"method": "best"}, "method='best'"),
        ({"classes": [0, 9]}, "class 9 has no samples"),
        ({"labels": torch.zeros(3)}, r"labels \(3,\)"),
    ],
)
def test_wrong_input_is_named(arguments, says):
    call = {"features": torch.randn(4, 2), "labels": torch.zeros(4, dtype=torch.long)} | arguments
    with pytest.raises(LongTailError, match=says):
        select_exemplars(**call)
