"""Computes the row of a run in a list of runs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from gradlens.analysis.facts import incomplete_texts, nonfinite_text, training_steps, unproven_text
from gradlens.analysis.headline import grouping, headline
from gradlens.analysis.per_class import measured_by_class
from gradlens.analysis.row import Overview
from gradlens.analysis.without_output import without_output_text
from gradlens.estimation.noisy_distance import corrected, step_variances

if TYPE_CHECKING:
    from gradlens.runlog import Run

SPARKS = 32
# A row holds at most so many settings, each with so many characters.
MOST_SETTINGS = 60
MOST_SETTING = 80
# A whole number from here on is written as it is given.
LARGE = 1e15


def overview(run: Run) -> Overview:
    """Returns the row of a run."""
    meta, status, steps = run.meta, run.status, run.steps
    return Overview(
        state=status.state,
        reason=status.reason or "",
        method=meta.method or "",
        dataset=meta.dataset or "",
        steps=training_steps(run),
        measured=len(steps),
        engine=meta.engine or "",
        headline=headline(run),
        accuracy=last_accuracy(run),
        sparks=_sparks(run),
        started=meta.started if meta.started is not None else math.nan,
        cadence=meta.cadence or "",
        incomplete=tuple(incomplete_texts(run)),
        nonfinite=nonfinite_text(run) or "",
        without_output=without_output_text(run) or "",
        unproven=unproven_text(run) or "",
        grouping=grouping(run),
        phases=len(run.phases),
        by_class=measured_by_class(run),
        seed=meta.seed,
        settings=tuple((name, setting_text(value)) for name, value in [*meta.hyperparameters.items()][:MOST_SETTINGS]),
    )


def setting_text(value: object) -> str:
    """Returns a hyper-parameter as a short text, without its source."""
    if isinstance(value, dict) and value.keys() == {"value", "source"}:
        value = value["value"]
    if isinstance(value, float) and abs(value) < LARGE and value == int(value):
        value = int(value)
    text = " ".join(str(value).split())
    return text if len(text) <= MOST_SETTING else f"{text[: MOST_SETTING - 3]}..."


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
