"""Whether noise hides the answer to the main question, and how many more steps it would take."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gradlens.analysis.facts import training_steps
from gradlens.diagnosis.balance import LEFT_OUT, least, shares_in
from gradlens.diagnosis.finding import Finding, Severity
from gradlens.diagnosis.portions import portions
from gradlens.diagnosis.words import group_text, percent_text, whole
from gradlens.estimation.interval import FEWEST

if TYPE_CHECKING:
    from gradlens.runlog import Run

MOST_TIMES = 100


def noise(run: Run) -> Finding | None:
    """Says that the run cannot tell whether a group is left out, and how many steps would."""
    if len(run.groups) < 2 or not len(run):
        return None
    parts = portions(run)
    shares = shares_in(run, parts[-1], len(run.groups) * len(parts))
    rows = parts[-1].rows.stop - parts[-1].rows.start
    open_ones = [
        each
        for each in shares
        if not each.share.measurable or each.share.low <= LEFT_OUT * each.classes <= each.share.high
    ]
    if not open_ones or any(each.share.measurable and each.share.high < LEFT_OUT * each.classes for each in shares):
        return None
    focus = least(open_ones)
    in_phase = f" of phase {parts[-1].name}" if parts[-1].name else ""
    if not focus.share.measurable:
        times = max(2, math.ceil(FEWEST / rows))
        said = f"{rows:,} measured steps{in_phase} are too few to say whether each group has its part in the training"
    else:
        distance = abs(focus.share.value - LEFT_OUT * focus.classes)
        reach = (focus.share.high - focus.share.low) / 2
        times = min(MOST_TIMES, max(2, math.ceil((reach / max(distance, 1e-9)) ** 2)))
        said = (
            f"Noise hides whether {group_text(focus.group)} has its part in the training: of the average step{in_phase} it makes "
            f"up {percent_text(focus.share)}, and it has {whole(focus.classes)} of the {run.groups.units}"
        )
    more = (
        f"Measure {'100 times as many steps or more' if times == MOST_TIMES else f'about {times} times as many steps'}"
    )
    how = (
        " (--every 1 measures each)"
        if training_steps(run) >= 2 * len(run)
        else ": train longer, or repeat the training"
    )
    return Finding("noise", Severity.UNKNOWN, f"{said}.", float(rows), focus.share, "shares", f"{more}{how}.")
