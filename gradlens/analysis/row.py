"""The row of a run in a list of runs. This file needs only the standard library, since rows are kept beside the runs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gradlens.estimation.interval import Interval

# A distortion from fewer measured steps than this says little.
FEW = 10
NOT_RANKED = "the groups differ: distortions of different groups are not to be ranked against each other"


@dataclass(frozen=True)
class Headline:
    """What a list of runs shows of each run.

    Attributes:
        distortion: ``gradlens.distortion`` of the whole run with its interval; NaN without a measured step.
        phase: The last measured phase if several were measured, or "".
        last_phase: Distortion of that phase with its interval; NaN if there is no such phase.
        few: True if there are so few measured steps that the distortion says little.
        groups: The groups, as text.
        apart: Text of ``two_groups_text``; "" if there are not two groups.
    """

    distortion: Interval
    phase: str
    last_phase: Interval
    few: bool
    groups: str
    apart: str


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
        cadence: How often it is measured, or "".
        incomplete: Texts of ``incomplete_texts``: what is missing or damaged.
        nonfinite: Text of ``nonfinite_text``, or "".
        without_output: Text of ``without_output_text``, or "".
        unproven: Text of ``unproven_text``, or "".
        grouping: A text that is the same for runs whose groups have the same names and classes.
        phases: Number of its phases.
        by_class: Whether single classes were measured.
        seed: Random seed; None if not known.
        settings: (name, text) of the hyper-parameters, and of what else was noted about the training.
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
    cadence: str
    incomplete: tuple[str, ...]
    nonfinite: str
    without_output: str
    unproven: str
    grouping: str
    phases: int
    by_class: bool
    seed: int | None
    settings: tuple[tuple[str, str], ...]

    @property
    def live(self) -> bool:
        """True while the run may still grow."""
        return self.state == "running"


def groupings_differ(rows: Iterable[Overview]) -> bool:
    """Says whether the groups of the runs differ in their names or classes."""
    return len({row.grouping for row in rows}) > 1


def to_json(row: Overview) -> dict[str, Any]:
    """Returns a row without its state as JSON. NaN becomes None."""
    seen = row.headline
    return {
        "method": row.method,
        "dataset": row.dataset,
        "steps": row.steps,
        "measured": row.measured,
        "engine": row.engine,
        "headline": [
            _interval_to_json(seen.distortion), seen.phase, _interval_to_json(seen.last_phase), seen.few, seen.groups, seen.apart,
        ],
        "accuracy": _or_none(row.accuracy),
        "sparks": [_or_none(value) for value in row.sparks],
        "started": _or_none(row.started),
        "cadence": row.cadence,
        "incomplete": list(row.incomplete),
        "nonfinite": row.nonfinite,
        "without_output": row.without_output,
        "unproven": row.unproven,
        "grouping": row.grouping,
        "phases": row.phases,
        "by_class": row.by_class,
        "seed": row.seed,
        "settings": [list(pair) for pair in row.settings],
    }  # fmt: skip


def from_json(kept: dict[str, Any], state: str, reason: str) -> Overview:
    """Reads a row of ``to_json``.

    Args:
        kept: The JSON.
        state: The state of the run now.
        reason: Why it is in this state, or "".

    Raises:
        ValueError: It is no row.
    """
    try:
        distortion, phase, last_phase, few, groups, apart = kept["headline"]
        return Overview(
            state=state,
            reason=reason,
            method=_text(kept["method"]),
            dataset=_text(kept["dataset"]),
            steps=_whole(kept["steps"]),
            measured=_whole(kept["measured"]),
            engine=_text(kept["engine"]),
            headline=Headline(
                _interval(distortion), _text(phase), _interval(last_phase), bool(few), _text(groups), _text(apart)
            ),
            accuracy=_number(kept["accuracy"]),
            sparks=_numbers(kept["sparks"]),
            started=_number(kept["started"]),
            cadence=_text(kept["cadence"]),
            incomplete=tuple([_text(text) for text in kept["incomplete"]]),
            nonfinite=_text(kept["nonfinite"]),
            without_output=_text(kept["without_output"]),
            unproven=_text(kept["unproven"]),
            grouping=_text(kept["grouping"]),
            phases=_whole(kept["phases"]),
            by_class=bool(kept["by_class"]),
            seed=None if kept["seed"] is None else _whole(kept["seed"]),
            settings=tuple([(_text(name), _text(text)) for name, text in kept["settings"]]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError("it is no row of a run") from error


def _interval_to_json(x: Interval) -> list[Any]:
    return [_or_none(x.value), _or_none(x.low), _or_none(x.high), x.samples, x.freedom, x.why]


def _interval(kept: Any) -> Interval:
    value, low, high, samples, freedom, why = kept
    return Interval(_number(value), _number(low), _number(high), _whole(samples), _number(freedom), _text(why))


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def _number(value: Any) -> float:
    if value is None:
        return math.nan
    if type(value) is not float and type(value) is not int:
        raise ValueError
    return float(value)


def _numbers(values: Any) -> tuple[float, ...]:
    if set(map(type, values)) <= {float}:
        return tuple(values)
    return tuple(map(_number, values))


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise ValueError
    return value


def _text(value: Any) -> str:
    if type(value) is not str:
        raise ValueError
    return value
