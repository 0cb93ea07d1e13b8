"""The row of a run in a list of runs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gradlens.analysis.facts import training_steps
from gradlens.analysis.headline import Headline, headline
from gradlens.estimation.noisy_distance import corrected, step_variances

if TYPE_CHECKING:
    from gradlens.runlog import Run

SPARKS = 32


@dataclass(frozen=True)
class Overview:
    """A run in a row.

    Attributes:
        state: "running", "finished", "failed", "interrupted", "killed" or "unknown".
        reason: Why it is in this state, or "".
        method: Training method, or "".
        dataset: Data set, or "".
        steps: Optimizer steps; for a live run those up to the last measured step.
        measured: Measured steps.
        engine: Engine that measures, or "".
        headline: The distortion, and the groups that it is about.
        accuracy: Overall accuracy of the last evaluation in percent, or NaN.
        sparks: [<= 32] distortion in parts of equal length of the run, for a small curve; NaN where nothing was measured.
        started: Start of the run in Unix seconds, or NaN.
    """

    state: str
    reason: str
    method: str
    dataset: str
    steps: int
    measured: int
    engine: str
    headline: Headline
    accuracy: float
    sparks: tuple[float, ...]
    started: float

    @property
    def live(self) -> bool:
        """True while the run may still grow."""
        return self.state == "running"


def overview(run: Run) -> Overview:
    """Returns the row of a run."""
    meta, status, steps = run.meta, run.status, run.steps
    seen = headline(run)
    return Overview(
        status.state, status.reason or "", meta.method or "", meta.dataset or "", training_steps(run),
        len(steps), meta.engine or "", seen, last_accuracy(run), _sparks(run),
        meta.started if meta.started is not None else math.nan,
    )  # fmt: skip


def last_accuracy(run: Run, name: str = "overall") -> float:
    """Returns an accuracy from the last evaluation that has it, in percent; NaN if no evaluation has it.

    Args:
        run: The run.
        name: Name of the accuracy in the evaluation.
    """
    for evaluation in reversed(run.evaluations):
        value = evaluation.get(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
    return math.nan


def _sparks(run: Run) -> tuple[float, ...]:
    """Returns the distortion of the mean shares in each part of the run, without the part that noise adds."""
    shares = np.stack([run.share(name) for name in run.groups.names], axis=1)  # [T, K]
    measured = ~np.isnan(shares).all(1)
    edges = np.linspace(0, len(shares), min(SPARKS, len(shares)) + 1).astype(int)[:-1]
    if not len(edges) or not measured.any():
        return ()
    sums = np.add.reduceat(np.where(np.isfinite(shares), shares, 0.0), edges, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        rows = np.add.reduceat(measured.astype(np.float64), edges)[:, None]
        errors = np.sqrt(step_variances(np.nan_to_num(shares[measured])) / rows)
        found = corrected(sums / rows - run.groups.fractions(), np.nan_to_num(errors))
    return tuple(float(x) for x in np.where(rows[:, 0] > 0, np.maximum(found, 0.0), math.nan))
