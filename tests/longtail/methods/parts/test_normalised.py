"""The normalised classifier: its logits by hand, its first weights, and what trains."""

import torch

from gradlens.longtail.methods.parts.normalised import NormalisedClassifier


def test_logits_are_scaled_cosines_whatever_the_lengths():
    classifier = NormalisedClassifier(2, 2, scale=30.0)
    classifier.weight.data = torch.tensor([[3.0, 0.0], [0.0, 0.5]])
    logits = classifier(torch.tensor([[3.0, 4.0], [10.0, 0.0]]))
    assert torch.allclose(logits, torch.tensor([[18.0, 24.0], [30.0, 0.0]]))


def test_the_first_weights_have_unit_length_and_nothing_else_trains():
    torch.manual_seed(0)
    classifier = NormalisedClassifier(64, 100, scale=30.0)
    assert [name for name, _ in classifier.named_parameters()] == ["weight"]
    assert torch.allclose(classifier.weight.norm(dim=1), torch.ones(100))
    # Uniform on [-1, 1] before it is scaled: the fourth moment is 9/5 of the squared variance, not 3 as of a normal one.
    weight = classifier.weight.detach()
    kurtosis = float((weight**4).mean() / (weight**2).mean() ** 2)
    assert abs(kurtosis - 1.8) < 0.1
