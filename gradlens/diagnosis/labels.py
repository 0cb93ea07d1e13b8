"""Classes without data, labels that look wrong, and trainings that learn nothing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from gradlens.diagnosis.finding import Finding, Severity
from gradlens.diagnosis.portions import careful, data_counts, late, portions, samples_per_class
from gradlens.diagnosis.words import digits, group_text, listed, number_text, whole
from gradlens.estimation.interval import FEWEST

if TYPE_CHECKING:
    from gradlens.runlog import Run

# A group of known size that is missing by chance is missing with less than this probability.
CHANCE = 0.01
# Labels look wrong where the loss is this many times that of the other groups, although the group is no rarer than this part
# of the average.
WORSE, NOT_RARE = 4.0, 0.5
# The others are learnt if their loss is below this part of what guessing gives; nothing is learnt above that part.
LEARNT, NOTHING = 0.5, 0.97


def no_data(run: Run) -> Finding | None:
    """Says which groups have no sample in any measured step, and how many classes have no training image."""
    if not len(run):
        return None
    drawn, counts = np.nansum(run.counts, axis=0), data_counts(run)
    chance = np.full(len(drawn), 0.0 if len(run) >= FEWEST else 1.0)
    if counts is not None:
        chance = (1 - counts / counts.sum()) ** drawn.sum()
    never = [group_text(n) for n, d, p in zip(run.groups.names, drawn, chance, strict=True) if d == 0 and p < CHANCE]
    if never:
        sentence = f"None of the {drawn.sum():,.0f} samples in {len(run):,} measured steps is of {listed(never)}."
        advice = "Look at the sampler, at the data set, and at whether the groups have the right class numbers."
        return Finding("no data", Severity.PROBLEM, sentence, float(len(never)), None, "shares", advice)
    of = run.meta.class_counts or ()
    empty = [c for ids in run.groups.classes for c in ids if c < len(of) and of[c] == 0]
    if not empty or counts is None:
        return None
    classes = listed([f"class {c}" for c in empty])
    have = "has" if len(empty) == 1 else "have"
    sentence = f"{len(empty):,} of {run.groups.num_classes:,} classes {have} no training image: {classes}."
    return Finding("no data", Severity.PROBLEM, sentence, float(len(empty)), None)


def guessing(run: Run) -> float:
    """Returns the loss of a model that only knows how frequent the classes are; of even ones, if that is not known."""
    of = np.array(run.meta.class_counts or (), dtype=np.float64)
    ids = [c for group in run.groups.classes for c in group]
    if data_counts(run) is None:
        return math.log(len(ids))
    parts = of[ids][of[ids] > 0] / of[ids].sum()
    return float(-(parts * np.log(parts)).sum())


def nothing_learnt(run: Run) -> Finding | None:
    """Says that at the end the loss is still what guessing gives."""
    last = late(portions(run)[-1].rows)
    with np.errstate(invalid="ignore", divide="ignore"):
        x = careful((run.loss.sum(1) / run.counts.sum(1))[last])
    guess = guessing(run)
    if guess <= 0 or x.verdict(NOTHING * guess) is not True:
        return None
    sentence = (
        f"Nothing has been learnt: at the end of the training the loss of a sample is {number_text(x)}; guessing by the "
        f"frequency of the classes gives {digits(guess)}."
    )
    advice = "Check that inputs and labels belong together (are they shuffled apart?), and the learning rate."
    return Finding("nothing learnt", Severity.PROBLEM, sentence, x.value, x, "losses", advice)


def wrong_labels(run: Run) -> Finding | None:
    """Says which group the model cannot fit, although it has learnt the others and the group is not rare."""
    if len(run.groups) < 2 or not len(run):
        return None
    last, rich = late(portions(run)[-1].rows), samples_per_class(run)
    guess = guessing(run)
    found = {}
    for k, name in enumerate(run.groups.names):
        with np.errstate(invalid="ignore", divide="ignore"):
            others = (np.delete(run.loss, k, 1).sum(1) / np.delete(run.counts, k, 1).sum(1))[last]
        x = careful(run.quantity("loss_per_sample", name)[last], among=len(run.groups))
        y = careful(others, among=len(run.groups))
        # The others must be learnt: then the way of training is right, and the group itself is the reason.
        rare = rich[k] < NOT_RARE * rich.mean()
        if rare or not (x.measurable and y.measurable) or y.high >= LEARNT * guess:
            continue
        if x.low > max(WORSE * max(y.high, 0.02), LEARNT * guess / 2):
            found[name] = x, y
    if not found:
        return None
    name, (x, y) = max(found.items(), key=lambda item: item[1][0].value)
    k = run.groups.names.index(name)
    drawn = np.nansum(run.counts, axis=0)
    sentence = (
        f"The labels of {group_text(name)} may be wrong: at the end of the training the loss of its samples is "
        f"{number_text(x)}, that "
        f"of the others {number_text(y)}, although its classes are not rarer than others ({whole(drawn[k] / drawn.sum())} of the "
        "samples)."
    )
    advice = "Look at some of its samples with their labels. Classes that are very hard look the same."
    return Finding("wrong labels", Severity.PROBLEM, sentence, x.value, x, "losses", advice)
