"""Notices of a run: its events other than phases, marks and evaluations.

Examples: the engine changed, the loss was not finite, an event that the user recorded.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from gradlens.runlog.format.events import Event, Mark, in_force, session_of

if TYPE_CHECKING:
    from gradlens.runlog import Run

# These kinds are drawn in another way, or come in every epoch or step.
ELSEWHERE = frozenset({"phase", "mark", "evaluation", "epoch", "phase-entered", "result", "combined"})
# If the gradient was not finite, the measured numbers show it. If only the loss was not finite, only this event shows it.
NONFINITE = "nonfinite"
BOOKKEEPING = frozenset({"kind", "step", "time", "session", "message"})
# Events of a kind that comes more often than this are listed, but not drawn. A figure full of lines would show nothing.
MOST_OF_A_KIND = 12
MOST_MARKS = 200


def notices(run: Run) -> list[Mark]:
    """Returns the events of a run other than phases, marks and evaluations, in the order of their steps."""
    return [Mark(event["step"], _text(event)) for event in _others(run)]


def moments(run: Run) -> list[Mark]:
    """Returns what a figure marks: the marks of a run, its rare notices, and where its gradient is not finite."""
    drawn = set(run.steps[run.nonfinite()].tolist())
    others = [event for event in _others(run) if event["kind"] != NONFINITE or event["step"] not in drawn]
    often = Counter(event["kind"] for event in others)
    rare = [Mark(event["step"], _text(event, most=1)) for event in others if often[event["kind"]] <= MOST_OF_A_KIND]
    # Of very many marks only the first are drawn. A figure full of lines would show nothing and take minutes to draw.
    return sorted([*run.marks[:MOST_MARKS], *rare, *_without_gradient(run)], key=lambda mark: mark.step)


def _without_gradient(run: Run) -> list[Mark]:
    """Returns a mark for each stretch of measured steps whose gradient is not finite; if there are many, one mark for all.

    It is taken from the measured numbers. The lines have gaps there.
    """
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
    """Returns the message of an event. If it has none: its kind and its fields.

    Args:
        event: The event.
        most: The most fields to name; None = all.
    """
    if event.get("message"):
        return str(event["message"])
    kind = event["kind"]
    facts = [
        str(value) if name == kind else f"{name} {value}" for name, value in event.items() if name not in BOOKKEEPING
    ]
    return f"{kind}: {', '.join(facts[:most])}" if facts else str(kind)
