"""The classifier of dynamic meta-embeddings, and the loss of its centroids (Liu et al. 2019, Sections 3.1 and 3.2)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# In float32 the distance of a feature from a centroid that equals it may be 0, which would make the reachability infinite.
SMALLEST_DISTANCE = 1e-6


class MemoryClassifier(nn.Module):
    """A cosine classifier of features to which memory adds what it knows of similar classes.

    With features f and the centroids c_j of the classes, as in zhmiao/OpenLongTailRecognition-OLTR
    (models/MetaEmbeddingClassifier.py and CosNormClassifier.py):

        h = softmax(hallucinator f) c,   e = tanh(selector f),   v = (f + e * h) reach / min_j |f - c_j|
        logits_j = scale * |v| / (1 + |v|) * cos(v, w_j)

    No gradient of the logits reaches the centroids.

    Attributes:
        hallucinator: Maps [B, d] features to [B, C] scores of the memory.
        selector: Maps [B, d] features to [B, d].
        weight: [C, d] class weights. Only their directions matter.
        centroids: [C, d] the memory: a centroid for each class. ``centroid_loss`` trains it.
        scale: Scale of the logits.
        reach: Scale of the reachability.
    """

    def __init__(self, hallucinator: nn.Linear, scale: float, reach: float) -> None:
        """Makes a classifier. All centroids are 0.

        Args:
            hallucinator: A linear classifier of the classes. It becomes a part of this one.
            scale: Scale of the logits.
            reach: Scale of the reachability.
        """
        super().__init__()
        classes, features = hallucinator.weight.shape
        bound = 1 / math.sqrt(features)
        self.hallucinator = hallucinator
        self.selector = nn.Linear(features, features)
        self.weight = nn.Parameter(torch.empty(classes, features).uniform_(-bound, bound))
        self.centroids = nn.Parameter(torch.zeros(classes, features))
        self.scale = scale
        self.reach = reach

    def forward(self, features: Tensor) -> Tensor:
        """Maps [B, d] features to [B, C] logits."""
        memory = self.centroids.detach()
        distances = torch.cdist(features, memory, compute_mode="donot_use_mm_for_euclid_dist")  # [B, C]
        nearest = distances.amin(1, keepdim=True).clamp_min(SMALLEST_DISTANCE)
        recalled = self.hallucinator(features).softmax(1) @ memory
        embedding = (features + self.selector(features).tanh() * recalled) * self.reach / nearest
        # The length of a direction is |v| / (1 + |v|). Written so, it is not 0 / 0 where v is 0.
        squashed = embedding / (1 + embedding.norm(dim=1, keepdim=True))
        return self.scale * F.linear(squashed, F.normalize(self.weight, dim=1))

    def extra_repr(self) -> str:
        """Returns the sizes and the scales for the module's repr."""
        classes, features = self.weight.shape
        return f"features={features}, num_classes={classes}, scale={self.scale:.3g}, reach={self.reach:.3g}"


def attraction(features: Tensor, chosen: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Returns sum_i |f_i - c_y|^2 / 2B, a scalar whose gradient to the centroids is not the true one.

    As in the reference (loss/DiscCentroidsLoss.py, after the center loss of Wen et al. 2016) each centroid moves by about the
    mean of its samples instead of by their sum: the gradient to c_j is sum_{i of j} (c_j - f_i) / (1 + n_j) / B, where n_j is the
    number of samples of class j in the batch.

    Args:
        features: [B, d].
        chosen: [B, d] the centroid of each sample's class.
        labels: [B] int64 class ids.
        num_classes: C.
    """
    own = torch.bincount(labels, minlength=num_classes)[labels].to(features)  # [B] n_y
    to_features = (features - chosen.detach()).square().sum() / 2
    to_centroids = ((features.detach() - chosen).square().sum(1) / (1 + own)).sum() / 2
    return (to_features + to_centroids - to_centroids.detach()) / len(labels)


def repulsion(squares: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Returns max(0, margin - sum_i sum_{j != y_i} |f_i - c_j|^2 / (B C)), a scalar.

    It pushes features from the centroids of other classes as long as their mean squared distance is below the margin.

    Args:
        squares: [B, C] squared distances of features and centroids.
        labels: [B] int64 class ids.
        margin: The mean at which it becomes 0.
    """
    others = squares.scatter(1, labels[:, None], 0)
    return (margin - others.mean()).clamp_min(0)
