"""Generated weights: by hand, against loops over the formula, and who attends to whom."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from gradlens.longtail.methods.parts.cosine import CosineClassifier
from gradlens.longtail.methods.parts.weight_generator import GeneratedClassifier, WeightGenerator


def test_the_weight_of_one_exemplar_worked_out_by_hand():
    """The exemplar (3, 4) has the direction (0.6, 0.8), which is its query, as the query layer is the identity.

    Its cosines with the keys are 0.6 and 0.8. With a sharpness of 5 log 4 the second key weighs exp(0.2 * 5 log 4) = 4 times the
    first: 0.2 and 0.8. So (0.2, -0.8) is recalled of the directions (1, 0) and (0, -1).
    """
    generator = WeightGenerator(2, 3, 5 * math.log(4)).double()
    with torch.no_grad():
        generator.query.weight.copy_(torch.eye(2))
        generator.keys.copy_(torch.tensor([[1.0, 0.0], [9.0, 9.0], [0.0, 2.0]]))
        generator.of_mean.copy_(torch.tensor([1.0, 2.0]))
        generator.of_recalled.copy_(torch.tensor([3.0, 1.0]))
    found = generator(
        torch.tensor([[3.0, 4.0]], dtype=torch.float64),
        torch.tensor([0]),
        1,
        torch.tensor([[5.0, 0.0], [0.0, -2.0]], dtype=torch.float64),
        torch.tensor([0, 2]),
    )
    expected = torch.tensor([[1 * 0.6 + 3 * 0.2, 2 * 0.8 - 1 * 0.8]], dtype=torch.float64)
    assert torch.allclose(found, expected, rtol=1e-12)


def looped(generator, exemplars, owners, new, weights, attended):
    """The formula, number by number."""
    rows = []
    for j in range(new):
        own = [f / f.norm() for f, owner in zip(exemplars, owners, strict=True) if owner == j]
        mean, recalled = torch.zeros_like(own[0]), torch.zeros_like(own[0])
        for f in own:
            q = generator.query.weight @ f + generator.query.bias
            scores = []
            for b in attended.tolist():
                k = generator.keys[b]
                scores.append(torch.exp(generator.sharpness * (q @ k) / q.norm() / k.norm()))
            mean = mean + f / len(own)
            for score, w in zip(scores, weights, strict=True):
                recalled = recalled + score / sum(scores) * w / w.norm() / len(own)
        rows.append(generator.of_mean * mean + generator.of_recalled * recalled)
    return torch.stack(rows)


def test_several_classes_and_their_gradients_agree_with_loops():
    torch.manual_seed(0)
    generator = WeightGenerator(4, 5, 3.0).double()
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.add_(torch.randn_like(parameter))
    exemplars, weights = torch.randn(6, 4).double(), torch.randn(3, 4).double()
    owners, attended = torch.tensor([1, 0, 1, 1, 0, 2]), torch.tensor([4, 0, 3])
    expected = looped(generator, exemplars, owners, 3, weights, attended)
    found = generator(exemplars, owners, 3, weights, attended)
    assert torch.allclose(found, expected, rtol=1e-10)
    towards = torch.randn(3, 4).double()
    theirs = torch.autograd.grad((expected * towards).sum(), list(generator.parameters()))
    ours = torch.autograd.grad((found * towards).sum(), list(generator.parameters()))
    for a, b in zip(ours, theirs, strict=True):
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-12)


def test_its_first_values_are_those_of_the_reference():
    torch.manual_seed(0)
    generator = WeightGenerator(200, 300, 30.0)
    assert generator.of_mean.eq(1).all()
    assert generator.of_recalled.eq(1).all()
    assert generator.query.bias.eq(0).all()
    off = generator.query.weight.detach() - torch.eye(200)
    assert 0.00098 < float(off.std()) < 0.00102
    assert 0.0985 < float(generator.keys.detach().std()) < 0.1015  # sqrt(2 / 200)
    assert generator.sharpness.item() == 30


def classifier():
    torch.manual_seed(1)
    made = GeneratedClassifier(CosineClassifier(3, 4, 7.0), 6, 3, 2.0)
    made.exemplars.copy_(torch.randn(3, 3))
    made.owners.copy_(torch.tensor([1, 0, 1]))
    return made


def test_logits_are_scaled_cosines_with_own_and_generated_weights():
    made, features = classifier(), torch.randn(5, 3)
    generated = made.generator(made.exemplars, made.owners, 2, made.base.weight, torch.arange(4))
    for j, weight in enumerate([*made.base.weight, *generated]):
        assert torch.allclose(made(features)[:, j], 7 * F.cosine_similarity(features, weight[None]), atol=1e-5)
    assert made(features).shape == (5, 6)


def test_a_class_that_plays_new_has_no_part_in_its_own_weight():
    made, exemplars, novel = classifier(), torch.randn(4, 3), torch.tensor([2, 0])
    before = made.episode_weights(exemplars, novel)
    assert torch.equal(before[[1, 3]], made.base.weight[[1, 3]])
    expected = made.generator(exemplars, torch.tensor([0, 0, 1, 1]), 2, made.base.weight[[1, 3]], torch.tensor([1, 3]))
    assert torch.equal(before[[2, 0]], expected)
    with torch.no_grad():
        made.base.weight[novel] += 1
        made.generator.keys[novel] += 1
    assert torch.equal(made.episode_weights(exemplars, novel), before)
    with torch.no_grad():
        made.base.weight[1] = -made.base.weight[1]
    assert not torch.allclose(made.episode_weights(exemplars, novel)[[2, 0]], before[[2, 0]])
