"""The classifier with a scale for each class, by hand."""

import torch
from torch import nn

from gradlens.longtail.methods.parts.scaled import ScaledClassifier


def linear():
    made = nn.Linear(2, 2).double()
    made.weight.data = torch.tensor([[1.0, 2.0], [-1.0, 0.5]], dtype=torch.float64)
    made.bias.data = torch.tensor([0.5, -0.25], dtype=torch.float64)
    return made


def test_the_scale_multiplies_weights_and_bias():
    classifier = ScaledClassifier(linear(), 2).double()
    features = torch.tensor([[3.0, 1.0]], dtype=torch.float64)
    # 3 + 2 + 0.5 and -3 + 0.5 - 0.25
    assert classifier(features).tolist() == [[5.5, -2.75]]
    classifier.scales.data = torch.tensor([2.0, 0.5], dtype=torch.float64)
    assert classifier(features).tolist() == [[11.0, -1.375]]


def test_the_gradient_of_a_scale_is_that_of_its_logit_times_the_logit():
    classifier = ScaledClassifier(linear(), 2).double()
    logits = classifier(torch.tensor([[3.0, 1.0]], dtype=torch.float64))
    nn.functional.cross_entropy(logits, torch.tensor([1])).backward()
    p = torch.tensor([5.5, -2.75], dtype=torch.float64).softmax(0)
    expected = torch.tensor([p[0] * 5.5, (p[1] - 1) * -2.75], dtype=torch.float64)
    assert torch.allclose(classifier.scales.grad, expected, rtol=1e-12)
