"""What else happened in a run than phases, marks and evaluations: another engine, a loss that is no number, own events."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from gradlens.runlog.format.events import Event, Mark, in_force, session_of

if TYPE_CHECKING:
    from gradlens.runlog import Run

# Kinds that are drawn in their own way, or say of every epoch how it went.
ELSEWHERE = frozenset({"phase", "mark", "evaluation", "epoch", "phase-entered", "result"})
# A gradient that is not finite is marked by what was measured; a loss alone, only by its event.
NONFINITE = "nonfinite"
BOOKKEEPING = frozenset({"kind", "step", "time", "session", "message"})
# What happens more often than this is no single event: it is listed, but a figure full of lines would show nothing.
MOST_OF_A_KIND = 12
MOST_MARKS = 200


def notices(run: Run) -> list[Mark]:
    """Returns what happened in a run apart from phases, marks and evaluations, in order of the steps."""
    return [Mark(event["step"], _text(event)) for event in _others(run)]


def moments(run: Run) -> list[Mark]:
    """Returns what a figure marks: the marks of a run and, of what else happened in it, what is rare."""
    drawn = set(run.steps[run.nonfinite()].tolist())
    others = [event for event in _others(run) if event["kind"] != NONFINITE or event["step"] not in drawn]
    often = Counter(event["kind"] for event in others)
    rare = [Mark(event["step"], _text(event, most=1)) for event in others if often[event["kind"]] <= MOST_OF_A_KIND]
    # A figure full of lines would show nothing, and take minutes to draw: of very many marks, the first.
    return sorted([*run.marks[:MOST_MARKS], *rare, *_without_gradient(run)], key=lambda mark: mark.step)


def _without_gradient(run: Run) -> list[Mark]:
    """Returns a mark where the gradient ceases to be finite, from the numbers: lines have gaps there. Of many, only the first."""
    broken = run.nonfinite()
    if not broken.any():
        return []
    first = np.flatnonzero(broken & ~np.append(False, broken[:-1]))
    last = np.flatnonzero(broken & ~np.append(broken[1:], False))
    if len(first) > MOST_OF_A_KIND:
        return [
            Mark(int(run.steps[first[0]]), f"gradient not finite, {int(broken.sum()):,} measured steps from here on")
        ]
    found = []
    for a, b in zip(first.tolist(), last.tolist(), strict=True):
        until = f" to step {int(run.steps[b]):,}" if b > a else ""
        found.append(Mark(int(run.steps[a]), f"gradient not finite{until}"))
    return found


def _others(run: Run) -> list[Event]:
    events = run.events
    starts = {session_of(e): e["step"] for e in events if e["kind"] == "resume" and e["step"] is not None}
    found = [e for e in in_force(events, starts) if e["kind"] not in ELSEWHERE and e["step"] is not None]
    return sorted(found, key=lambda event: int(event["step"]))


def _text(event: Event, most: int | None = None) -> str:
    """Returns the event's own message, or its kind with what is known of it: all, or the first ``most`` facts."""
    if event.get("message"):
        return str(event["message"])
    kind = event["kind"]
    facts = [
        str(value) if name == kind else f"{name} {value}" for name, value in event.items() if name not in BOOKKEEPING
    ]
    return f"{kind}: {', '.join(facts[:most])}" if facts else str(kind)
