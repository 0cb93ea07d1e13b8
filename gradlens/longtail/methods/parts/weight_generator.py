"""Makes the classifier's weights of a class from a few of its images (Gidaris & Komodakis 2018, Section 3.1)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradlens.longtail.methods.parts.cosine import CosineClassifier


class WeightGenerator(nn.Module):
    """Generates weights by feature averaging and by attention over the weights of the base classes.

    Index notation: i runs over the exemplars of a class, b over the attended base classes, ^ means unit length. The weight is

        w = of_mean * mean_i f^_i + of_recalled * mean_i sum_b softmax_b(sharpness cos(query f^_i, k_b)) w^_b

    as in gidariss/FewShotWithoutForgetting (ClassifierWithFewShotGenerationModule.py). Its first values are those of that code.

    Attributes:
        of_mean: [d] phi_avg, the weights of the averaged features.
        of_recalled: [d] phi_att, the weights of what attention recalls.
        query: phi_q, maps features to queries.
        keys: [K, d] a key for each base class.
        sharpness: gamma, the scale of the cosines of queries and keys.
    """

    def __init__(self, features: int, classes: int, sharpness: float) -> None:
        """Makes a generator.

        Args:
            features: Width d of the features.
            classes: K, the number of base classes.
            sharpness: Initial gamma.
        """
        super().__init__()
        self.of_mean = nn.Parameter(torch.ones(features))
        self.of_recalled = nn.Parameter(torch.ones(features))
        self.query = nn.Linear(features, features)
        nn.init.zeros_(self.query.bias)
        with torch.no_grad():
            self.query.weight.copy_(torch.eye(features) + 0.001 * torch.randn(features, features))
        self.keys = nn.Parameter(torch.randn(classes, features) * math.sqrt(2 / features))
        self.sharpness = nn.Parameter(torch.tensor(float(sharpness)))

    def forward(self, exemplars: Tensor, owners: Tensor, new: int, weights: Tensor, attended: Tensor) -> Tensor:
        """Generates the weights of new classes.

        Args:
            exemplars: [n, d] features of their images.
            owners: [n] int64 which of the new classes, 0..new - 1, an image is of.
            new: Number of new classes. Each has at least one image.
            weights: [B, d] weights of the attended base classes.
            attended: [B] int64 ids of these, below K.

        Returns:
            [new, d] weights.
        """
        unit = F.normalize(exemplars, dim=1)
        queries = F.normalize(self.query(unit), dim=1)
        cosines = queries @ F.normalize(self.keys[attended], dim=1).T  # [n, B]
        recalled = (self.sharpness * cosines).softmax(1) @ F.normalize(weights, dim=1)  # [n, d]
        member = F.one_hot(owners, new).to(unit).T  # [new, n]
        averaging = member / member.sum(1, keepdim=True)
        return self.of_mean * (averaging @ unit) + self.of_recalled * (averaging @ recalled)


class GeneratedClassifier(nn.Module):
    """A cosine classifier of base classes with weights of their own, and of few-shot classes with generated weights.

    Class ids below K are base classes. The reference adds a learnt scalar to all cosines; a softmax does not see it, so there
    is none here.

    Attributes:
        base: The classifier of the K base classes. Its scale is that of all logits.
        generator: Generates the weights of the few-shot classes.
        exemplars: [n, d] features of all training images of the few-shot classes.
        owners: [n] int64 which few-shot class, counted from 0, they are of.
    """

    exemplars: Tensor
    owners: Tensor

    def __init__(self, base: CosineClassifier, num_classes: int, images: int, sharpness: float) -> None:
        """Makes a classifier. The features of the few-shot classes are 0 until ``exemplars`` is filled.

        Args:
            base: The trained classifier of the K base classes. It becomes a part of this one.
            num_classes: C, the base classes and the few-shot classes.
            images: n, the training images of the few-shot classes.
            sharpness: See ``WeightGenerator``.
        """
        super().__init__()
        classes, features = base.weight.shape
        self.base = base
        self.generator = WeightGenerator(features, classes, sharpness)
        self.few_shot_classes = num_classes - classes
        self.register_buffer("exemplars", torch.zeros(images, features))
        self.register_buffer("owners", torch.zeros(images, dtype=torch.int64))

    def weights(self) -> Tensor:
        """Returns [C, d] the weights of all classes. Those of the few-shot classes attend to all base classes."""
        own = self.base.weight
        everything = torch.arange(len(own), device=own.device)
        generated = self.generator(self.exemplars, self.owners, self.few_shot_classes, own, everything)
        return torch.cat([own, generated])

    def episode_weights(self, exemplars: Tensor, novel: Tensor) -> Tensor:
        """Returns [K, d] the weights of the base classes, where some play that they are new and have generated weights.

        These attend to the other base classes only.

        Args:
            exemplars: [len(novel) k, d] features of their exemplars, k of the first class, then k of the second one, ...
            novel: [at least 1, below K] int64 ids of the classes that play new.
        """
        own = self.base.weight
        others = torch.ones(len(own), dtype=torch.bool, device=own.device)
        others[novel] = False
        attended = torch.nonzero(others).flatten()
        owners = torch.arange(len(novel), device=own.device).repeat_interleave(len(exemplars) // len(novel))
        generated = self.generator(exemplars, owners, len(novel), own[attended], attended)
        return own.index_copy(0, novel, generated)

    def logits(self, features: Tensor, weights: Tensor) -> Tensor:
        """Maps features [B, d] and weights [C, d] to logits [B, C]: the scaled cosines."""
        return self.base.scale * F.linear(F.normalize(features, dim=1), F.normalize(weights, dim=1))

    def forward(self, features: Tensor) -> Tensor:
        """Maps [B, d] features to [B, C] logits of all classes."""
        return self.logits(features, self.weights())
