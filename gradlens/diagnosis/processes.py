"""Whether several processes train as one: on samples of their own, and with the whole loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gradlens.diagnosis.finding import Finding, Severity
from gradlens.diagnosis.portions import careful
from gradlens.diagnosis.words import number_text, percent_text

if TYPE_CHECKING:
    from gradlens.runlog import Run

# How far a loss may be from one over the number of processes, as a part of it.
NEAR = 0.03
# Counts must take this many values, or they say nothing.
VALUES = 3


def size_of(run: Run) -> int:
    """Returns how many processes have trained the model."""
    sizes = [e.get("processes") for e in run.events if e["kind"] == "processes"]
    return max((size for size in sizes if isinstance(size, int) and not isinstance(size, bool)), default=1)


def part_of_loss(run: Run) -> Finding | None:
    """Says that the loss is divided by the number of processes, although averaging gradients divides already."""
    size = size_of(run)
    if size < 2 or not len(run):
        return None
    with np.errstate(invalid="ignore", divide="ignore"):
        x = careful(run.total_loss * run.counts.sum(1) / run.loss.sum(1))
    if not x.measurable or not (1 - NEAR) / size < x.low <= x.high < (1 + NEAR) / size:
        return None
    sentence = (
        f"The loss that is trained is {number_text(x)} of the mean loss of the samples, one over the {size} processes. "
        "Gradients are "
        f"averaged over the processes already, so the model takes steps that are {size} times too short."
    )
    return Finding(
        "part of the loss",
        Severity.PROBLEM,
        sentence,
        x.value,
        x,
        "losses",
        "Do not divide the loss by the number of processes.",
    )


def same_samples(run: Run) -> Finding | None:
    """Says that all processes draw the same samples: the counts of each group are multiples of their number in every step."""
    size = size_of(run)
    if size < 2 or not len(run):
        return None
    counts = run.counts
    varying = [k for k in range(counts.shape[1]) if len(np.unique(counts[:, k])) >= VALUES]
    if not varying or not np.array_equal(counts, np.round(counts)):
        return None
    x = careful((counts[:, varying] % size == 0).all(1).astype(np.float64)).within(0.0, 1.0)
    if x.verdict((1 + 1 / size) / 2) is not True:
        return None
    sentence = (
        f"The {size} processes train on the same samples: in {percent_text(x)} of the steps the number of samples of each "
        "group is a "
        f"multiple of {size}; with samples of their own it would be in about one of {size}."
    )
    return Finding(
        "same samples",
        Severity.PROBLEM,
        sentence,
        x.value,
        x,
        "shares",
        "Give each process its own part (DistributedSampler, or another seed).",
    )
