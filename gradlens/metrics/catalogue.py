"""The catalogue: every quantity that gradlens shows, defined once. Tables, figures, exports and README read it.

README.md beside this file tells how to add one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, Protocol

import numpy as np

from gradlens.estimation.noisy_distance import distance
from gradlens.metrics import gram as grams
from gradlens.metrics.gram import Floats
from gradlens.metrics.packed import ALL

# Takes a Gram [..., V, V], the index of a vector, and how many of the first vectors add up to the gradient; returns [...].
AgainstAll = Callable[[Floats, int, int], Floats]
# Takes a Gram [..., V, V] and the indices of two vectors; returns [...].
Between = Callable[[Floats, int, int], Floats]

ANY, FRACTION, COSINE, SIZE = (-math.inf, math.inf), (0.0, 1.0), (-1.0, 1.0), (0.0, math.inf)


class Unit(Enum):
    """The unit of a quantity. It decides how its numbers are written."""

    PART = "part of a whole"  # in percent
    NUMBER = "number"
    GRADIENT = "norm of a gradient"  # may be drawn on a logarithmic axis
    LOSS = "loss"


class MeasuredSteps(Protocol):
    """What the function of a quantity can ask about measured steps. Every array is [T], one number for each step; NaN: none."""

    def samples(self, group: str) -> Floats:
        """Returns the number of samples of a group (class mass where labels are soft)."""

    def batch(self) -> Floats:
        """Returns the number of samples of all groups together."""

    def loss(self, group: str) -> Floats:
        """Returns the summed cross-entropy of a group's samples."""

    def correct(self, group: str) -> Floats:
        """Returns how many of a group's samples were classified correctly."""

    def total_loss(self) -> Floats:
        """Returns the loss that was differentiated."""

    def residual(self) -> Floats:
        """Returns |g - sum_k g_k - rest| / |g|."""

    def against_all(self, function: AgainstAll, vector: str) -> Floats:
        """Returns the values of a function of one vector and the gradient.

        Args:
            function: The function. It must be a named function of a module, because a run keeps its results under it.
            vector: The name of the vector.
        """

    def between(self, function: Between, a: str, b: str) -> Floats:
        """Returns the values of a function of two vectors. For the function the same holds as in ``against_all``."""


@dataclass(frozen=True)
class Quantity:
    """The definition of one quantity.

    Attributes:
        name: Its name in code (``Run.quantity``), in addresses and in exported columns.
        title: Its name for people.
        short: A short title, for a narrow column.
        unit: Its unit.
        range: The smallest and the largest value that it can have.
        definition: One line: its formula, and how to read it. k is the group, nₖ its samples.
        of: What it belongs to: "vector" (a group, the rest, the update, a loss component), "group" (it needs samples), "pair"
            (two vectors), "step" (a whole step) or "run" (one number for many steps).
        function: Computes it. Its arguments are (steps, vector), (steps, a, b) for a pair, (steps) for a step, and the shares
            [T, K] and the class fractions [K] for a run.
        about: What it tells about: the "gradient", the "training" (what else is known about the samples), or the "measurement"
            (whether the numbers can be trusted).
        absent: The value that a group without samples adds to a mean over steps; NaN: such steps are left out.
        degree: The power of the vectors' size in it: 1 for a norm, 2 for an inner product, 0 for a ratio.
        needs: A vector without which there is no number, because not every run records it; "" if there is none.
    """

    name: str
    title: str
    short: str
    unit: Unit
    range: tuple[float, float]
    definition: str
    of: Literal["vector", "group", "pair", "step", "run"]
    function: Callable[..., Any]
    about: Literal["gradient", "training", "measurement"] = "gradient"
    absent: float = math.nan
    degree: int = 0
    needs: str = ""

    @property
    def percent(self) -> bool:
        """Whether its numbers are written in percent."""
        return self.unit is Unit.PART

    def check(self, of: tuple[str, ...]) -> None:
        """Checks that the quantity is a series, and that it needs this number of vectors.

        Args:
            of: The names of the vectors.

        Raises:
            ValueError: It is one number for a whole run, or it needs another number of vectors.
        """
        if self.of == "run":
            raise ValueError(f"{self.name} is one number for a run, not a series; call gradlens.{self.name}(run)")
        needed = {"vector": 1, "group": 1, "pair": 2, "step": 0}[self.of]
        if len(of) != needed:
            raise ValueError(f"{self.name} needs {needed} vector name(s), and got {len(of)}")


def _share(steps: MeasuredSteps, vector: str) -> Floats:
    return steps.against_all(grams.share, vector)


def _cosine(steps: MeasuredSteps, vector: str) -> Floats:
    return steps.against_all(grams.cosine, vector)


def _norm(steps: MeasuredSteps, vector: str) -> Floats:
    return steps.against_all(grams.own_norm, vector)


def _mean_norm(steps: MeasuredSteps, group: str) -> Floats:
    return np.asarray(_norm(steps, group) * steps.batch() / positive(steps.samples(group)))


def _benefit(steps: MeasuredSteps, group: str) -> Floats:
    return np.asarray(steps.between(grams.dot, group, grams.UPDATE) * steps.batch() / positive(steps.samples(group)))


def _sample_share(steps: MeasuredSteps, group: str) -> Floats:
    return np.asarray(steps.samples(group) / positive(steps.batch()))


def positive(counts: Floats) -> Floats:
    """Returns the counts as divisors: 0 becomes NaN, so that nothing is divided by 0."""
    return np.asarray(np.where(counts > 0, counts, np.nan))


_LISTED = (
    Quantity(
        "sample_share", "share of the samples", "samples", Unit.PART, FRACTION, "nₖ / batch", "group", _sample_share,
        about="training",
    ),
    Quantity(
        "share", "share of the update", "share of the update", Unit.PART, ANY,
        "⟨gₖ, g⟩ / ⟨g, g⟩; the shares of all groups and of the rest add up to 1", "vector", _share, absent=0.0,
    ),
    Quantity(
        "cosine", "cosine with the overall gradient", "cosine", Unit.NUMBER, COSINE, "⟨gₖ, g⟩ / (|gₖ| |g|)", "vector", _cosine
    ),
    Quantity("norm", "norm of the contribution", "norm", Unit.GRADIENT, SIZE, "|gₖ|", "vector", _norm, degree=1),
    Quantity(
        "mean_norm", "norm of the mean gradient", "mean norm", Unit.GRADIENT, SIZE,
        "|gₖ| · batch / nₖ: the size of the mean gradient of the group's own samples", "group", _mean_norm,
        degree=1,
    ),
    Quantity(
        "benefit", "benefit of a step", "benefit", Unit.NUMBER, ANY,
        "⟨gₖ, θ before − θ after⟩ · batch / nₖ: by how much the optimizer's step lowers the mean loss of the group's samples in "
        "the batch, to first order; below 0 it raises it",
        "group", _benefit, degree=2, needs=grams.UPDATE,
    ),
    Quantity(
        "loss_per_sample", "training loss per sample", "loss", Unit.LOSS, SIZE, "the group's summed cross-entropy / nₖ", "group",
        lambda steps, group: steps.loss(group) / positive(steps.samples(group)), about="training",
    ),
    Quantity(
        "accuracy", "training accuracy", "accuracy", Unit.PART, FRACTION, "correctly classified samples / nₖ", "group",
        lambda steps, group: steps.correct(group) / positive(steps.samples(group)), about="training",
    ),
    Quantity(
        "conflict", "cosine between two groups", "conflict", Unit.NUMBER, COSINE,
        "⟨gⱼ, gₖ⟩ / (|gⱼ| |gₖ|); below 0 the two groups pull against each other", "pair",
        lambda steps, a, b: steps.between(grams.conflict, a, b),
    ),
    Quantity(
        "overall_norm", "norm of the overall gradient", "overall norm", Unit.GRADIENT, SIZE, "|g|", "step",
        lambda steps: _norm(steps, ALL), degree=1,
    ),
    Quantity(
        "total_loss", "loss", "loss", Unit.LOSS, SIZE, "the loss on which backward ran", "step",
        lambda steps: steps.total_loss(), about="training",
    ),
    Quantity(
        "residual", "residual", "residual", Unit.NUMBER, SIZE,
        "|g − Σₖ gₖ − rest| / |g|, from an independent pull-back on every measured step: the proof that the numbers add up",
        "step", lambda steps: steps.residual(), about="measurement",
    ),
    Quantity(
        "distortion", "distortion", "distortion", Unit.NUMBER, SIZE,
        "half the L1 distance between the expected shares of the update and the groups' fractions of the classes, without what "
        "noise adds; 0 = every group steers as its classes would", "run", distance,
    ),
)  # fmt: skip

# All quantities by name, in the order in which tables show them.
QUANTITIES: dict[str, Quantity] = {quantity.name: quantity for quantity in _LISTED}


def quantity_of(name: str) -> Quantity:
    """Returns the quantity with this name.

    Raises:
        ValueError: There is none. The message lists all names.
    """
    if name not in QUANTITIES:
        raise ValueError(f"quantity={name!r}; choose one of {', '.join(QUANTITIES)}")
    return QUANTITIES[name]


def of_vectors(about: str | None = None) -> list[Quantity]:
    """Returns the quantities that every vector has.

    Args:
        about: "gradient" or "training": only the quantities about it. None: all.
    """
    return [q for q in QUANTITIES.values() if q.of == "vector" and about in (None, q.about)]


def of_groups(about: str | None = None, recorded: Collection[str] | None = None) -> list[Quantity]:
    """Returns the quantities that a group has, in the order in which tables show them.

    Args:
        about: "gradient" or "training": only the quantities about it. None: all.
        recorded: The names of the recorded vectors. Quantities that need another one are left out. None: none is left out.
    """
    found = [q for q in QUANTITIES.values() if q.of in ("vector", "group") and about in (None, q.about)]
    return [q for q in found if recorded is None or q.needs in ("", *recorded)]
