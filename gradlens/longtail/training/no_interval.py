"""Explains why the distortion of a phase has no interval, and what would help."""

from __future__ import annotations

from collections.abc import Sequence

from gradlens.analysis.facts import training_steps
from gradlens.analysis.phase_story import Stretch
from gradlens.estimation.interval import FEWEST, Interval
from gradlens.estimation.intervals import TOO_SLOW
from gradlens.measure.schedule.cadence import Every
from gradlens.runlog import Run


def no_interval(run: Run, parts: Sequence[Stretch], found: Sequence[Interval]) -> str:
    """Returns a text that says which phases have no interval, why, and what helps; "" if all have one.

    Args:
        run: The run.
        parts: The phases of the run.
        found: The distortion of each phase.
    """
    without = [(part, interval) for part, interval in zip(parts, found, strict=True) if not interval.measurable]
    if not without:
        return ""
    prefix = f"{run.name}, "
    several = len(run.phases) > 1
    reasons = [
        f"{part.title.removeprefix(prefix) if several else 'the run'}: {interval.why}" for part, interval in without
    ]
    few = [part for part, interval in without if interval.samples < FEWEST or interval.why == TOO_SLOW]
    helps = "--every 1 measures more" if all(_has_more(run, part) for part in few) else "a longer training has more"
    return f"no interval of {', '.join(reasons)}{f'; {helps}' if few else ''}"


def _has_more(run: Run, part: Stretch) -> bool:
    """Says whether measuring every step would give a phase enough measured steps for an interval."""
    if run.meta.cadence == str(Every(1)):
        return False
    first = part.span[0]
    phase = next(phase for phase in reversed(run.phases) if phase.start <= first)
    end = training_steps(run) if phase.end is None else phase.end
    return end - phase.start >= FEWEST
