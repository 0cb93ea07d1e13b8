"""The episodes of few-shot learning: in each, some classes play that they are new (Gidaris & Komodakis 2018, Section 3.3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gradlens.longtail.recipe.visiting import PhaseProgress


@dataclass(frozen=True)
class Episodes:
    """A visiting whose consecutive rows form episodes of equal size.

    An episode holds, in this order:

    - exemplars of the classes that play new: all of the first class, then all of the second one, ...
    - queries of these classes, in the same order. No exemplar is among them.
    - queries of the other classes, each of a class that is drawn uniformly.

    Attributes:
        novel: Number of classes that play new; below the number of all classes.
        exemplars: Exemplars of each of them.
        queries: Queries of each of them.
        other_queries: Queries of the other classes together.
        number: Episodes in an epoch; None = so many that they have about as many images as the phase, at least one.
    """

    novel: int
    exemplars: int
    queries: int
    other_queries: int
    number: int | None = None

    @property
    def support(self) -> int:
        """Number of rows of an episode that are exemplars."""
        return self.novel * self.exemplars

    @property
    def size(self) -> int:
        """Number of rows of an episode."""
        return self.support + self.novel * self.queries + self.other_queries

    def __call__(self, labels: Tensor, progress: PhaseProgress, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        """See ``Visiting``. The labels are 0..K-1, each with at least ``exemplars + queries`` images."""
        images = [torch.nonzero(labels == label).flatten() for label in range(int(labels.max()) + 1)]
        number = max(1, len(labels) // self.size) if self.number is None else self.number
        return torch.cat([self._episode(images, generator) for _ in range(number)])

    def _episode(self, images: list[Tensor], generator: torch.Generator) -> Tensor:
        """Returns [size] rows, given the rows of each class."""
        classes = torch.randperm(len(images), generator=generator)
        exemplars, queries = [], []
        for label in classes[: self.novel].tolist():
            own = images[label]
            drawn = own[torch.randperm(len(own), generator=generator)[: self.exemplars + self.queries]]
            exemplars.append(drawn[: self.exemplars])
            queries.append(drawn[self.exemplars :])
        others = classes[self.novel :]
        drawn = others[torch.randint(len(others), (self.other_queries,), generator=generator)]
        queries.extend(
            images[label][torch.randint(len(images[label]), (1,), generator=generator)] for label in drawn.tolist()
        )
        return torch.cat([*exemplars, *queries])
