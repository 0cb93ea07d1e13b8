"""Whether the steps that the optimizer takes help or hurt each group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradlens.diagnosis.advice import CONFLICT
from gradlens.diagnosis.finding import Finding, Severity
from gradlens.diagnosis.portions import careful, looked_at, portions
from gradlens.diagnosis.words import group_text, listed, number_text
from gradlens.estimation.interval import Interval

if TYPE_CHECKING:
    from gradlens.runlog import Run

# With more groups than this only those that gain least and most are named.
MOST_GROUPS = 4
OF = "(to first order, on the samples of the step)"


def benefit(run: Run) -> Finding | None:
    """Says by how much an average step lowers or raises the loss of each group. The last phase decides."""
    if not run.has_update or not len(run):
        return None
    part = portions(run)[-1]
    names = looked_at(run)
    found = {name: careful(run.benefit(name)[part.rows], among=len(names)) for name in names}
    known = {name: x for name, x in found.items() if x.measurable}
    hurt = {name: x for name, x in known.items() if x.high < 0}
    helped = {name: x for name, x in known.items() if x.low > 0}
    when = f" of phase {part.name}" if part.name else ""
    if hurt:
        name, x = min(hurt.items(), key=lambda item: item[1].value)
        gains = f", and lowers that of {_named(helped)}" if helped else ""
        sentence = (
            f"An average step{when} raises the loss of {group_text(name)} by {number_text(_turned(x))}{gains} {OF}."
            + (f" It raises that of {len(hurt) - 1} more groups, too." if len(hurt) > 1 else "")
        )
        return Finding("benefit", Severity.PROBLEM, sentence, x.value, x, "benefit", CONFLICT)
    if len(helped) < len(names):
        return None
    weakest = min(helped.values(), key=lambda x: x.value)
    sentence = f"An average step{when} lowers the loss of {_named(helped)} {OF}."
    return Finding("benefit", Severity.FINE, sentence, weakest.value, weakest, "benefit")


def _named(found: dict[str, Interval]) -> str:
    order = sorted(found, key=lambda name: -found[name].value)
    shown = order if len(order) <= MOST_GROUPS else [order[0], order[-1]]
    texts = [f"{'of ' if i else ''}{group_text(name)} by {number_text(found[name])}" for i, name in enumerate(shown)]
    between = "" if len(shown) == len(order) else f"; the other {len(order) - 2} groups lie between"
    return listed(texts) + between


def _turned(x: Interval) -> Interval:
    return Interval(-x.value, -x.high, -x.low, x.samples, x.freedom)
