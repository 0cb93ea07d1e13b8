"""Mean directions of classes."""

import torch

from gradlens.longtail.methods.parts.prototypes import class_prototypes


def test_prototypes_by_hand():
    features = torch.tensor([[3.0, 0.0], [0.0, 0.5], [0.0, 2.0]])
    assert torch.allclose(
        class_prototypes(features, torch.tensor([0, 0, 2]), 3), torch.tensor([[0.5, 0.5], [0, 0], [0, 1]])
    )
