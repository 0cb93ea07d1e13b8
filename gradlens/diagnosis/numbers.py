"""Whether numbers are not finite, or the loss grows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from gradlens.diagnosis.finding import LEVEL, Finding, Severity
from gradlens.diagnosis.portions import careful, portions, quarters
from gradlens.diagnosis.words import digits, whole
from gradlens.estimation.intervals import difference

if TYPE_CHECKING:
    from gradlens.runlog import Run

# The loss grows if it is at least this many times as large in the last quarter as in the first.
GROWN = 2.0


def not_finite(run: Run) -> Finding | None:
    """Says how many steps have a gradient or a loss that is not finite."""
    if not len(run):
        return None
    broken = run.nonfinite() | ~np.isfinite(run.total_loss)
    count = int(broken.sum())
    if not count:
        return None
    scaled = any(event["kind"] == "nonfinite" and event.get("scaled") for event in run.events)
    x = careful(broken.astype(np.float64)).within(0.0, 1.0)
    first = int(run.steps[int(np.argmax(broken))])
    sentence = (
        f"In {count:,} of {len(run):,} measured steps ({whole(count / len(run))}) the loss or the gradient is not a "
        "finite number, for "
        f"the first time in step {first:,}."
    )
    if scaled:
        sentence += " A gradient scaler tries scales that are too large and skips these steps, so a few are usual."
    advice = (
        "" if scaled else "Lower the learning rate, clip the gradient, or look for a division by zero or a log of zero."
    )
    severity = Severity.NOTE if scaled else Severity.PROBLEM
    return Finding("not finite", severity, sentence, count / len(run), x if x.measurable else None, "norms", advice)


def growing_loss(run: Run) -> Finding | None:
    """Says that the loss grows in the last phase."""
    rows = portions(run)[-1].rows
    loss = run.total_loss
    parts = quarters(rows)
    with np.errstate(invalid="ignore", divide="ignore"):
        logs = [np.log(loss[part]) for part in (parts[0], parts[-1])]
    if not all(len(each) and np.isfinite(each).sum() for each in logs):
        return None
    x = difference(logs[1], logs[0], level=LEVEL)
    if x.verdict(math.log(GROWN)) is not True:
        return None
    before, now = (float(np.exp(each[np.isfinite(each)].mean())) for each in logs)
    sentence = (
        f"The loss grows: from about {digits(before)} in the first quarter of the training to {digits(now)} in the last, "
        f"{digits(math.exp(x.value))} times as much [{digits(math.exp(x.low))}, {digits(math.exp(x.high))}]."
    )
    advice = "Lower the learning rate, warm it up, or clip the gradient."
    return Finding("growing loss", Severity.PROBLEM, sentence, x.value, x, "losses", advice)
