"""The cosine classifier by hand, and truncating and extending both kinds."""

import pytest
import torch
from torch import nn

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods.parts.cosine import CosineClassifier
from gradlens.longtail.methods.parts.resize import extended, truncated


def kinds():
    torch.manual_seed(0)
    return [nn.Linear(4, 6), nn.Linear(4, 6, bias=False), CosineClassifier(4, 6, scale=7.0)]


def test_logits_by_hand():
    classifier = CosineClassifier(2, 2, scale=5.0)
    classifier.weight.data = torch.tensor([[2.0, 0.0], [3.0, 4.0]])
    # (0, 3) against e1: 0, against (3, 4)/5: 4/5
    assert torch.allclose(classifier(torch.tensor([[0.0, 3.0]])), torch.tensor([[0.0, 4.0]]))
    assert torch.allclose(classifier.cosines(torch.tensor([[0.0, 3.0]])), torch.tensor([[0.0, 0.8]]))


def test_the_scale_is_learnt_and_zero_features_stay_finite():
    classifier = CosineClassifier(3, 4)
    classifier(torch.randn(5, 3)).square().sum().backward()
    assert classifier.scale.grad.abs() > 0
    features = torch.zeros(2, 3, requires_grad=True)
    classifier(features).sum().backward()
    assert torch.isfinite(features.grad).all()


@pytest.mark.parametrize("kind", range(3))
def test_truncating_keeps_the_first_logits_and_extending_back_keeps_the_old_ones(kind):
    classifier = kinds()[kind]
    x = torch.randn(5, 4)
    small = truncated(classifier, 2)
    assert type(small) is type(classifier)
    assert torch.allclose(small(x), classifier(x)[:, :2])
    large = extended(classifier, 9, torch.randn(3, 4))
    assert large(x).shape == (5, 9)
    assert torch.allclose(large(x)[:, :6], classifier(x), atol=1e-6)
    small.weight.data.zero_()
    assert classifier.weight.abs().sum() > 0
    assert all(parameter.requires_grad for parameter in large.parameters())


def test_imprinted_weights_point_to_the_means_with_the_length_of_the_old_ones():
    classifier = CosineClassifier(4, 6, scale=7.0)
    means = torch.randn(2, 4)
    large = extended(classifier, 8, means)
    cosine = torch.nn.functional.cosine_similarity(large.weight[6:], means)
    assert torch.allclose(cosine, torch.ones(2))
    assert torch.allclose(large.weight[6:].norm(dim=1), classifier.weight.norm(dim=1).mean().expand(2))
    assert large.scale.item() == 7.0


def test_random_extension_follows_the_generator():
    classifier = CosineClassifier(4, 6)
    a, b, c = (extended(classifier, 8, generator=torch.Generator().manual_seed(seed)).weight for seed in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda c: truncated(c, 0), "cannot truncate 6 classes to 0"),
        (lambda c: truncated(c, 7), "give 1..6"),
        (lambda c: extended(c, 5), "truncate instead"),
        (lambda c: extended(c, 8, torch.ones(1, 4)), r"means have the shape \(1, 4\)"),
    ],
)
def test_wrong_sizes_are_named(call, says):
    with pytest.raises(LongTailError, match=says):
        call(CosineClassifier(4, 6))
