"""A classifier gets fewer or more classes, and keeps the old ones."""

import pytest
import torch
from torch import nn

from gradlens.longtail.methods.parts.cosine import CosineClassifier
from gradlens.longtail.methods.parts.resize import extended, truncated


def kinds():
    torch.manual_seed(0)
    return [nn.Linear(4, 6), nn.Linear(4, 6, bias=False), CosineClassifier(4, 6, scale=7.0)]


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
