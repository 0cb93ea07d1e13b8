"""What the lens measured in each phase of a training, and how accurate the tail was at its end, with intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import fmean, stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradlens.analysis.distortion import distortion_interval
from gradlens.estimation.interval import Interval
from gradlens.estimation.intervals import interval, mean_interval
from gradlens.estimation.student import t_quantile
from gradlens.longtail.recipe.task import Task
from gradlens.longtail.training.combined_direction import combined_distortion
from gradlens.runlog import Run

HEAD, TAIL, TAIL_SHOT = "head", "tail", "few"
LEVEL = 0.95
# Name -> title of a column. The first ones are from the lens.
COLUMNS = {
    "distortion": "distortion",
    "share": "tail's share of the update",
    "sample_share": "of the samples",
    "fall": "tail's fall of loss / head's",
    "accuracy": "tail's accuracy (%)",
}
# Of a method that combines the groups' gradients: the distortion of what it steps on. The others are of the gradient before.
COMBINED = "combined_distortion"
RANGES = {
    "distortion": (0.0, 1.0),
    COMBINED: (0.0, math.inf),
    "share": (-math.inf, math.inf),
    "sample_share": (0.0, 1.0),
    "fall": (-math.inf, math.inf),
    "accuracy": (0.0, 100.0),
}
FROM_THE_LENS = ("distortion", "share", "sample_share", "fall")


def phases_of(run: Run | None, result: Mapping[str, Any], task: Task) -> list[dict[str, Any]]:
    """Returns for each phase its name, its epochs, and each of ``COLUMNS`` as an interval or None.

    Args:
        run: What the lens measured; None = nothing.
        result: Content of the training's ``result.json``.
        task: Its task.
    """
    images = _images_of_the_tail(task)
    found: list[dict[str, Any]] = []
    spans = {} if run is None else {phase.name: (phase.start, phase.end) for phase in run.phases}
    for phase in result["phases"]:
        rows = [row for row in result["history"] if row["phase"] == phase["name"] and TAIL_SHOT in row]
        start, end = spans.get(phase["name"], (0, 0))
        measured = None if run is None else _measured(run, start, end)
        facts: dict[str, Any] = {**phase, **(measured or dict.fromkeys(FROM_THE_LENS))}
        facts["steps"] = (result["steps"] if end is None else end) - start
        facts["accuracy"] = asdict(binomial(rows[-1][TAIL_SHOT], images)) if rows else None
        found.append(facts)
    return found


def _measured(run: Run, start: int, end: int | None) -> dict[str, Any] | None:
    steps = np.asarray(run.steps)
    rows = (steps >= start) & (steps < (np.inf if end is None else end))
    if not rows.any():
        return None
    shares = {name: run.share(name)[rows] for name in (HEAD, TAIL)}
    samples = {name: run.quantity("sample_share", name)[rows] for name in (HEAD, TAIL)}
    falls = np.stack([_fall(shares[name], samples[name], run.norm()[rows]) for name in (HEAD, TAIL)], 1)  # [T, 2]
    combined = combined_distortion(run, start, end)
    return {
        "distortion": asdict(distortion_interval(run, start, end)),
        **({} if combined is None else {COMBINED: asdict(combined)}),
        "share": asdict(mean_interval(np.nan_to_num(shares[TAIL]))),
        "sample_share": asdict(mean_interval(np.nan_to_num(samples[TAIL]))),
        "fall": _ratio_of_falls(falls),
        "measured_steps": int(rows.sum()),
    }


def _ratio_of_falls(falls: NDArray[np.float64]) -> dict[str, Any] | None:
    """Returns the tail's mean fall over the head's; None if the interval of the head's fall holds 0, so that its sign is open.

    Args:
        falls: [T, 2] of head and tail.
    """
    head = mean_interval(falls[:, 0])
    if head.measurable and head.low <= 0 <= head.high:
        return None
    return asdict(interval([falls], lambda means: means[0][1] / means[0][0]))


def _fall(share: NDArray[np.float64], samples: NDArray[np.float64], norm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns [T] how much the mean loss of a group's samples falls in each step, per unit of the learning rate.

    This is the inner product of the mean gradient of the group's samples with the gradient: the first order of a step of plain
    SGD. NaN where the group has no samples.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(samples > 0, share / samples * norm**2, np.nan))


def binomial(percent: float, images: int) -> Interval:
    """Returns an accuracy in percent with its 95 % interval for the choice of the test images (Wilson 1927).

    Args:
        percent: The accuracy.
        images: Number of test images.
    """
    z = t_quantile((1 + LEVEL) / 2, math.inf)
    part = percent / 100
    middle = (part + z**2 / (2 * images)) / (1 + z**2 / images)
    half = z / (1 + z**2 / images) * math.sqrt(part * (1 - part) / images + z**2 / (4 * images**2))
    return Interval(percent, 100 * (middle - half), 100 * (middle + half), images, math.inf)


def over_seeds(values: Sequence[float]) -> Interval:
    """Returns the mean of independent values with its 95 % interval by Student's t.

    Args:
        values: At least two values.
    """
    half = t_quantile((1 + LEVEL) / 2, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    mean = fmean(values)
    return Interval(mean, mean - half, mean + half, len(values), len(values) - 1)


def pooled(of_seeds: Sequence[Mapping[str, Any] | None], least: float, most: float) -> dict[str, Any] | None:
    """Returns a number over the seeds: with its interval if there is one seed, and with that of the mean of several.

    Args:
        of_seeds: The number of each seed with its interval, or None.
        least: The least value that the number can have.
        most: The largest value that it can have.

    Returns:
        The interval, with ends in the range; None if a seed has no number.
    """
    known = [Interval(**found) for found in of_seeds if found is not None and math.isfinite(found["value"])]
    if len(known) < len(of_seeds):
        return None
    found = known[0] if len(known) == 1 else over_seeds([interval.value for interval in known])
    return asdict(found.within(least, most))


def _images_of_the_tail(task: Task) -> int:
    split = next(iter(task.evaluations))
    labels = task.evaluations[split].labels.cpu().numpy()
    return int(np.isin(labels, np.flatnonzero(np.asarray(task.counts) < 20)).sum())
