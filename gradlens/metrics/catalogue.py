"""The catalogue: every quantity that gradlens shows, defined once. Tables, figures, exports and README read it.

README.md beside this file tells how to add one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, Protocol

import numpy as np

from gradlens.estimation.noisy_distance import distance
from gradlens.metrics import gram as grams
from gradlens.metrics.gram import Floats
from gradlens.metrics.packed import ALL

# Gram rows [..., V, V], a vector's place, how many of the first vectors add up to the gradient -> [...].
AgainstAll = Callable[[Floats, int, int], Floats]
# Gram rows [..., V, V] and the places of two vectors -> [...].
Between = Callable[[Floats, int, int], Floats]

ANY, FRACTION, COSINE, SIZE = (-math.inf, math.inf), (0.0, 1.0), (-1.0, 1.0), (0.0, math.inf)


class Unit(Enum):
    """What a quantity counts; it decides how numbers are written."""

    PART = "part of a whole"  # in percent
    NUMBER = "number"
    GRADIENT = "norm of a gradient"  # may be drawn on a logarithmic axis
    LOSS = "loss"


class Steps(Protocol):
    """Measured steps, as the function of a quantity sees them. Every array is [T], one number a step, NaN = none."""

    def samples(self, group: str) -> Floats:
        """Returns the samples of a group; class mass where labels are soft."""

    def batch(self) -> Floats:
        """Returns the samples of all groups."""

    def loss(self, group: str) -> Floats:
        """Returns the summed loss of a group's samples."""

    def correct(self, group: str) -> Floats:
        """Returns how many of a group's samples were classified correctly."""

    def total_loss(self) -> Floats:
        """Returns the loss on which backward ran."""

    def residual(self) -> Floats:
        """Returns |g - sum_k g_k - rest| / |g|."""

    def against_all(self, function: AgainstAll, vector: str) -> Floats:
        """Returns a function of one vector's inner products with itself and with the gradient.

        The function must be a named one of a module: a run keeps what it computed under it.
        """

    def between(self, function: Between, a: str, b: str) -> Floats:
        """Returns a function of the inner products of two vectors; the function as for ``against_all``."""


@dataclass(frozen=True)
class Quantity:
    """One quantity.

    Attributes:
        name: In code (``Run.quantity``), addresses and exported columns.
        title: What people call it.
        short: The same as the head of a narrow column.
        unit: What it counts.
        range: The least and the largest value that it can have.
        definition: Its formula and how to read it, in a line. k is the group, n its samples.
        of: What it is about: "vector" (a group, the rest, the update, a loss component), "group" (it needs samples), "pair" (two
            vectors), "step" (all of a step) or "run" (one number for many steps).
        function: Computes it: of (steps, vector), (steps, a, b) for a pair, (steps) for a step; of the shares [T, K] and the
            classes' fractions [K] for a run.
        about: "gradient"; "training": what else is known of the samples; "measurement": whether the numbers can be trusted.
        absent: What a group without samples adds to a mean over steps; NaN = nothing, such steps are left out.
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

    @property
    def percent(self) -> bool:
        """Whether it reads best in percent."""
        return self.unit is Unit.PART

    def check(self, of: tuple[str, ...]) -> None:
        """Checks that it is a series of so many vectors.

        Raises:
            ValueError: It is one number for a run, or of another number of vectors.
        """
        if self.of == "run":
            raise ValueError(f"{self.name} is one number for a run, no series: gradlens.{self.name}(run)")
        needed = {"vector": 1, "group": 1, "pair": 2, "step": 0}[self.of]
        if len(of) != needed:
            raise ValueError(f"{self.name} is of {needed} vectors; {len(of)} were given")


def _share(steps: Steps, vector: str) -> Floats:
    return steps.against_all(grams.share, vector)


def _cosine(steps: Steps, vector: str) -> Floats:
    return steps.against_all(grams.cosine, vector)


def _norm(steps: Steps, vector: str) -> Floats:
    return steps.against_all(grams.own_norm, vector)


def _mean_norm(steps: Steps, group: str) -> Floats:
    return np.asarray(_norm(steps, group) * steps.batch() / positive(steps.samples(group)))


def _sample_share(steps: Steps, group: str) -> Floats:
    return np.asarray(steps.samples(group) / positive(steps.batch()))


def positive(counts: Floats) -> Floats:
    """Returns counts to divide by: NaN where there are none."""
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
    Quantity("norm", "norm of the contribution", "norm", Unit.GRADIENT, SIZE, "|gₖ|", "vector", _norm),
    Quantity(
        "mean_norm", "norm of the mean gradient", "mean norm", Unit.GRADIENT, SIZE,
        "|gₖ| · batch / nₖ: the size of the mean gradient of the group's own samples", "group", _mean_norm,
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
        lambda steps: _norm(steps, ALL),
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

# By name, in the order in which they are shown.
QUANTITIES: dict[str, Quantity] = {quantity.name: quantity for quantity in _LISTED}


def quantity_of(name: str) -> Quantity:
    """Returns a quantity by its name.

    Raises:
        ValueError: There is none; the message lists them.
    """
    if name not in QUANTITIES:
        raise ValueError(f"quantity={name!r}; choose one of {', '.join(QUANTITIES)}")
    return QUANTITIES[name]


def of_vectors(about: str | None = None) -> list[Quantity]:
    """Returns the quantities that any vector has; with ``about``, those about the "gradient" or the "training" only."""
    return [q for q in QUANTITIES.values() if q.of == "vector" and about in (None, q.about)]


def of_groups(about: str | None = None) -> list[Quantity]:
    """Returns the quantities that a group has, in the order in which they are shown; ``about`` as for ``of_vectors``."""
    return [q for q in QUANTITIES.values() if q.of in ("vector", "group") and about in (None, q.about)]
