"""The series of a run in a tracker: one name for each, and the points that are new.

- ``gradlens/GROUP/QUANTITY``: a quantity of the catalogue, such as ``gradlens/tail/cosine``; also count, loss and correct, the
  sums over the group's samples. GROUP may be another vector, such as ``rest`` or ``component/group``.
- ``gradlens/all/QUANTITY``: norm, total_loss, residual and share_distance of the whole step.
- ``gradlens-logged/NAME``: what the training logged itself.
- ``gradlens-evaluation/SPLIT/NAME``: the numbers of evaluations.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gradlens.mirror.destination import Point
from gradlens.reports.export import scalars

if TYPE_CHECKING:
    from gradlens.runlog import Run

# Facts of the measurement, not series of the training.
LEFT_OUT = ("epoch", "seconds")
BOOKKEEPING = ("step", "time", "epoch", "kind", "session", "split")


def series_name(column: str) -> str:
    """Returns the name of a series from the name of its column in an export."""
    quantity, _, of = column.partition("/")
    return f"gradlens/{of or 'all'}/{quantity}"


def measured_points(run: Run, first: int) -> list[Point]:
    """Returns the measured steps from a row on.

    Absent values are left out. What was measured and is no number is NaN.

    Args:
        run: The run.
        first: The first row.
    """
    steps, times = run.steps, run.time
    if first >= len(steps):
        return []
    columns = [
        (series_name(name), values[first:].astype(np.float64), measured[first:] | ~np.isnan(values[first:]))
        for name, values, measured in scalars(run)
        if name not in LEFT_OUT
    ]
    return [
        Point(int(steps[first + i]), float(times[first + i]), {n: _value(v[i]) for n, v, there in columns if there[i]})
        for i in range(len(steps) - first)
    ]


def evaluation_points(run: Run, first: int) -> list[Point]:
    """Returns the evaluations among the events of a run from a place in their file on."""
    found = []
    for event in run.events[first:]:
        if event["kind"] == "evaluation" and event["step"] is not None:
            split = f"{event['split']}/" if isinstance(event.get("split"), str) else ""
            values = {
                f"gradlens-evaluation/{split}{name}": float(value)
                for name, value in event.items()
                if name not in BOOKKEEPING and isinstance(value, (int, float)) and not isinstance(value, bool)
            }
            if values:
                found.append(Point(int(event["step"]), float(event.get("time", 0.0)), values))
    return found


def logged_points(run: Run, written: dict[str, Any]) -> tuple[list[Point], dict[str, int]]:
    """Returns what the training has logged itself since.

    Args:
        run: The run.
        written: Name -> how many of its values were taken before.

    Returns:
        The points, and ``written`` as it is now.
    """
    now, found = {}, []
    for name in run.logged_names:
        values = run.logged(name, skip=int(written.get(name, 0)))
        now[name] = values.read
        found += [
            Point(step, at, {f"gradlens-logged/{name}": value})
            for step, at, value in zip(values.steps.tolist(), values.time.tolist(), values.values.tolist(), strict=True)
        ]
    return found, now


def _value(value: Any) -> float:
    number = float(value)
    # Not every tracker has infinities; some store the largest number instead, which would be false.
    return number if math.isfinite(number) else math.nan
