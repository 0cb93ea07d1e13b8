"""How much of the average step each group makes up, beside its part of the classes and of the samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gradlens.analysis.quantities import filled_share
from gradlens.diagnosis.advice import LONG_TAIL
from gradlens.diagnosis.finding import Finding, Severity
from gradlens.diagnosis.portions import Portion, careful, portions
from gradlens.diagnosis.words import group_text, listed, percent_text, whole
from gradlens.estimation.interval import Interval

if TYPE_CHECKING:
    from gradlens.runlog import Run

# A group is left out if it steers less than this part of what its classes would.
LEFT_OUT = 0.5


@dataclass(frozen=True)
class GroupShare:
    """A group's share of the average step in a stretch.

    Attributes:
        group: Its name.
        share: Its share, with the interval.
        classes: Its part of the classes.
        samples: Its part of the samples.
    """

    group: str
    share: Interval
    classes: float
    samples: float


def shares_in(run: Run, stretch: Portion, among: int) -> list[GroupShare]:
    """Returns the share of each group in a stretch."""
    totals = np.nansum(run.counts[stretch.rows], axis=0)
    fractions = run.groups.fractions()
    return [
        GroupShare(
            name,
            careful(filled_share(run, name)[stretch.rows], among=among),
            float(fractions[k]),
            float(totals[k] / totals.sum()) if totals.sum() else 0.0,
        )
        for k, name in enumerate(run.groups.names)
    ]


def least(shares: list[GroupShare]) -> GroupShare:
    """Returns the group that steers least beside its part of the classes."""
    return min(shares, key=lambda found: found.share.value / found.classes)


def balance(run: Run) -> Finding | None:
    """Says which group is left out of the steps that the model takes, or that none is. The last phase decides."""
    if len(run.groups) < 2 or not len(run):
        return None
    parts = portions(run)
    among = len(run.groups) * len(parts)
    found = [shares_in(run, part, among) for part in parts]
    if not all(each.share.measurable for each in found[-1]):
        return None
    out = [each for each in found[-1] if each.share.high < LEFT_OUT * each.classes]
    fine = all(each.share.low > LEFT_OUT * each.classes for each in found[-1])
    if not out and not fine:
        return None  # noise decides; see the rule "noise"
    # Where no group is left out now, the one that was left out before is told about.
    before = least([each for shares in found for each in shares]).group
    focus = least(found[-1]) if out else next(each for each in found[-1] if each.group == before)
    who = group_text(focus.group)
    earlier = [
        f"in phase {part.name} it was {percent_text(past.share) if past.share.measurable else whole(past.share.value)}"
        for part, shares in zip(parts[:-1], found[:-1], strict=True)
        for past in shares
        if past.group == focus.group
    ]
    when = f" in phase {parts[-1].name}" if parts[-1].name else ""
    tail = f" ({listed(earlier)})" if earlier else ""
    facts = f"it has {whole(focus.classes)} of the {run.groups.units} and{when} {whole(focus.samples)} of the samples"
    if out:
        others = [group_text(each.group) for each in out if each.group != focus.group]
        more = f" The same holds for {listed(others)}." if others else ""
        sentence = (
            f"The training hardly follows {who}: it makes up {percent_text(focus.share)} of the average step{when}{tail}, though "
            f"{facts}.{more}"
        )
        return Finding("balance", Severity.PROBLEM, sentence, focus.share.value, focus.share, "shares", LONG_TAIL)
    which = "" if len(parts) > 1 else f", the one that steers least for its number of {run.groups.units},"
    sentence = (
        f"No group is left out{when}: {who}{which} makes up "
        f"{percent_text(focus.share)} of the average step{tail}; {facts}."
    )
    return Finding("balance", Severity.FINE, sentence, focus.share.value, focus.share, "shares")
