"""Classifiers of experts: each sees its own features."""

import torch
import torch.nn.functional as F

from gradlens.longtail.methods.branches.experts import ExpertClassifiers


def test_each_expert_sees_its_own_features():
    classifiers = ExpertClassifiers(2, 3, 4, 30.0).double()
    features = torch.randn(5, 6, dtype=torch.float64)
    each = classifiers.each(features)
    for e, own in enumerate((features[:, :3], features[:, 3:])):
        cosines = F.cosine_similarity(own[:, None], classifiers.experts[e].weight[None], dim=2)
        torch.testing.assert_close(each[:, e], 30 * cosines)
        torch.testing.assert_close(classifiers.one(features, e), 30 * cosines)
    torch.testing.assert_close(classifiers(features), (each[:, 0] + each[:, 1]) / 2)
