"""Whether the optimizer's step is zero, climbs, or is made from another gradient than the one that the loss gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gradlens.diagnosis.finding import Finding, Severity
from gradlens.diagnosis.portions import careful, late
from gradlens.diagnosis.words import number_text, percent_text
from gradlens.metrics.gram import UPDATE

if TYPE_CHECKING:
    from gradlens.runlog import Run

# A warm-up that begins at 0 makes a few steps of no length; that is no finding.
OFTEN = 0.05


def no_step(run: Run) -> Finding | None:
    """Says that the optimizer's step changes nothing, though there is a gradient."""
    if not run.has_update or not len(run):
        return None
    length, gradient = run.norm(UPDATE), run.norm()
    known = np.isfinite(length) & (gradient > 0)
    still = (length[known] == 0).astype(np.float64)
    spans = {"": slice(0, len(still)), " at the end of the training": late(slice(0, len(still)))}
    found = {when: careful(still[rows], among=2).within(0.0, 1.0) for when, rows in spans.items()}
    when, x = next(((when, x) for when, x in found.items() if x.verdict(OFTEN) is True), ("", None))
    if x is None:
        return None
    sentence = (
        f"In {percent_text(x)} of the steps{when} the optimizer changes no parameter, though the gradient is not zero."
    )
    advice = (
        "Look at the learning rate and its schedule, at a gradient scaler that skips steps, and at which parameters the "
        "optimizer has."
    )
    return Finding("no step", Severity.PROBLEM, sentence, x.value, x, "update", advice)


def uphill(run: Run) -> Finding | None:
    """Says that the optimizer's step goes against the gradient."""
    if not run.has_update or not len(run):
        return None
    x = careful(run.cosine(UPDATE))
    if x.verdict() is not False:
        return None
    sentence = (
        f"The optimizer climbs: its steps raise the loss that is trained. The cosine of what it subtracts with the gradient is "
        f"{number_text(x)} (1 would be straight downhill)."
    )
    advice = "Look for maximize=True, a sign, or a learning rate so large that momentum swings back and forth."
    return Finding("uphill", Severity.PROBLEM, sentence, x.value, x, "update", advice)


def other_gradient(run: Run) -> Finding | None:
    """Says that the optimizer steps on another gradient than the one that the loss gives."""
    steps = [e["step"] for e in run.events if e["kind"] == "stepped" and isinstance(e.get("step"), int)]
    if not len(run) or not steps:
        return None
    x = careful(np.isin(run.steps, steps).astype(np.float64)).within(0.0, 1.0)
    if x.verdict(OFTEN) is not True:
        return None
    sentence = (
        f"In {percent_text(x)} of the steps the optimizer does not step on the gradient of the loss: something turns, "
        "masks, clips "
        "by value or replaces it in between. Shares and cosines here are about the gradient before that."
    )
    return Finding("other gradient", Severity.NOTE, sentence, x.value, x, "update")
