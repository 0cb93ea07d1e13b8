"""Whether two groups pull against each other, in which layers, and since when."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from gradlens.diagnosis.advice import CONFLICT
from gradlens.diagnosis.finding import Finding, Severity
from gradlens.diagnosis.portions import careful, head_of, late, portions, quarters, tail_of
from gradlens.diagnosis.words import begun, digits, group_text, listed, number_text
from gradlens.estimation.interval import Interval

if TYPE_CHECKING:
    from gradlens.runlog import Run

# A smaller cosine below 0 is not worth a sentence.
LEAST = 0.05
# With more groups than this only the two ends of the class frequencies are looked at.
MOST_GROUPS = 4
# Layers are looked at if this many numbers are read at most.
MOST_NUMBERS = 400_000


def conflict(run: Run) -> Finding | None:
    """Says which two groups pull against each other. The last phase decides."""
    if len(run.groups) < 2 or not len(run):
        return None
    pairs = list(combinations(run.groups.names, 2))
    if len(run.groups) > MOST_GROUPS:
        pairs = [(head_of(run), tail_of(run))]
    rows = portions(run)[-1].rows
    apart = _apart(run, pairs, rows)
    if not apart:  # it may have begun lately
        rows = late(rows)
        apart = _apart(run, pairs, rows)
    if not apart:
        return None
    (a, b), x = min(apart.items(), key=lambda item: item[1].value)
    since = _since(run, a, b, portions(run)[-1].rows)
    layers = _layers(run, a, b, rows)
    where = f", most of all in {listed(layers)}" if layers else ""
    more = f" {len(apart) - 1} more pairs do so, too." if len(apart) > 1 else ""
    sentence = (
        f"{begun(group_text(a))} and {group_text(b)} pull against each other{since}{where}: the cosine of their "
        f"gradients is {number_text(x)} (-1 would be opposite ways, 0 no relation).{more}"
    )
    return Finding("conflict", Severity.NOTE, sentence, x.value, x, "conflicts", CONFLICT)


def _apart(run: Run, pairs: list[tuple[str, str]], rows: slice) -> dict[tuple[str, str], Interval]:
    """Returns the pairs that pull against each other in some rows, each with the cosine."""
    # Two spans of the training may be looked at.
    found = {pair: careful(run.conflict(*pair)[rows], among=2 * len(pairs)) for pair in pairs if pair[0] != pair[1]}
    return {pair: x for pair, x in found.items() if x.measurable and x.high < 0 and x.value < -LEAST}


def _since(run: Run, a: str, b: str, rows: slice) -> str:
    """Returns since when: the first quarter from which on the cosine is below 0 in each; "" if quarters are too short."""
    parts = quarters(rows)
    below = [careful(run.conflict(a, b)[part], among=len(parts)).verdict() is False for part in parts]
    if not below[-1]:
        return ""
    first = len(below) - 1
    while first and below[first - 1]:
        first -= 1
    return " from its start" if first == 0 else f" since step {int(run.steps[parts[first].start]):,}"


def _layers(run: Run, a: str, b: str, rows: slice) -> list[str]:
    """Returns the layers in which the two pull against each other, the strongest first."""
    if not run.layers or len(run.layers) * len(run) > MOST_NUMBERS:
        return []
    found = {layer: careful(run.conflict(a, b, layer=layer)[rows], among=len(run.layers)) for layer in run.layers}
    apart = sorted((x.value, layer) for layer, x in found.items() if x.verdict() is False)
    return [f"{layer} ({digits(value)})" for value, layer in apart]
