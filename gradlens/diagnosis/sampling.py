"""Whether batches are drawn as the data set promises: as frequent as there, and in random order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gradlens.diagnosis.finding import Finding, Severity
from gradlens.diagnosis.portions import careful, data_counts, portions
from gradlens.diagnosis.words import digits, group_text, percent_text, whole

if TYPE_CHECKING:
    from gradlens.runlog import Run

# A difference must be this large, as part of the batch and beside the part in the data.
LEAST, LEAST_PART = 0.02, 0.25
# The part of a group varies this many times as much as by chance if batches are not shuffled.
SORTED = 4.0


def drawn_shares(run: Run) -> Finding | None:
    """Says which group is drawn more or less often than the data set has it. The last phase decides."""
    counts = data_counts(run)
    if counts is None or len(run.groups) < 2 or not len(run):
        return None
    part = portions(run)[-1]
    found = {}
    for k, name in enumerate(run.groups.names):
        has = float(counts[k] / counts.sum())
        x = careful(run.quantity("sample_share", name)[part.rows], among=len(run.groups)).within(0.0, 1.0)
        if x.verdict(has) is not None and abs(x.value - has) >= max(LEAST, LEAST_PART * has):
            found[name] = x, has
    if not found:
        return None
    # The group whose part has changed by the largest factor.
    name, (x, has) = max(found.items(), key=lambda item: abs(np.log((item[1][0].value + 1e-9) / (item[1][1] + 1e-9))))
    when = f" in phase {part.name}" if part.name else ""
    often = "more" if x.value > has else "less"
    sentence = (
        f"Batches are not drawn as the data are{when}: {group_text(name)} makes up {percent_text(x)} of the samples, and "
        f"{whole(has)} of the data set, so it is drawn {often} often than it occurs."
    )
    return Finding(
        "drawn shares",
        Severity.NOTE,
        sentence,
        x.value,
        x,
        "shares",
        "That is right if a sampler evens out the classes on purpose.",
    )


def not_shuffled(run: Run) -> Finding | None:
    """Says that batches hold one group after another, as from data in the order of their classes."""
    if len(run.groups) < 2 or not len(run):
        return None
    rows = portions(run)[-1].rows
    counts = run.counts[rows]
    batch = counts.sum(1)
    parts = counts.sum(0) / max(counts.sum(), 1)
    k = int(np.argmax(parts * (1 - parts)))
    p = float(parts[k])
    if not 0 < p < 1:
        return None
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = (counts[:, k] / batch - p) ** 2 / (p * (1 - p) / batch)
    x = careful(spread)
    if x.verdict(SORTED) is not True:
        return None
    sentence = (
        f"Batches are not shuffled: the part of {group_text(run.groups.names[k])} in a batch varies {digits(x.value)} "
        "times as much "
        f"[{digits(x.low)}, {digits(x.high)}] as in random batches (the variance)."
    )
    return Finding(
        "not shuffled",
        Severity.PROBLEM,
        sentence,
        x.value,
        x,
        "shares",
        "Shuffle the data (DataLoader(shuffle=True)), unless the order is meant.",
    )
