"""Combining given vectors with a rule that only sees their inner products."""

import torch

from gradlens.longtail.recipe.combiner import Combining


def weights_of(rule, vectors, *, seed=0, present=None, layer=0, learner=None, scaled=True):
    """Returns the weights of a rule for [K, P] vectors. Their largest inner product is made 1, as in a training."""
    gram = (vectors @ vectors.T).numpy()
    generator = torch.Generator().manual_seed(seed)
    now = Combining(tuple(present or range(len(vectors))), layer, learner, generator)
    return torch.from_numpy(rule(gram / gram.diagonal().max() if scaled else gram, now))


def combined(rule, vectors, **options):
    return weights_of(rule, vectors, **options) @ vectors


def drawn(groups, size=7, seed=0, conflict=0.8):
    """Returns [groups, size] vectors of different lengths, with conflicts."""
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(groups, size, generator=generator, dtype=torch.float64)
    vectors -= conflict * vectors.mean(0)
    return vectors * 10 ** torch.empty(groups, 1, dtype=torch.float64).uniform_(-1, 1, generator=generator)
