"""events.jsonl: what happened in a run, one strict JSON object a line; phases and marks are read out of it.

Kinds that gradlens writes: "phase" (name), "mark" (text), "evaluation" (numbers), "resume", "lost" (rows that a full disk cost)
and whatever a lens adds. ``session`` counts the starts of the training.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = "events.jsonl"
Event = dict[str, Any]


@dataclass(frozen=True)
class Phase:
    """A named stretch of training.

    Attributes:
        name: Its name ("I", "II").
        start: First step.
        end: First step of the next phase, or None while it is the last one.
    """

    name: str
    start: int
    end: int | None


@dataclass(frozen=True)
class Mark:
    """A named moment of training.

    Attributes:
        step: Where.
        text: What happened.
    """

    step: int
    text: str


class EventFile:
    """Reads the lines that were added since the last time; a line without its end is left for later."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events: list[Event] = []
        self.damaged = 0
        self._offset = 0

    def refresh(self) -> bool:
        """Reads new lines; True if there were any. A file that is gone or unreadable for now has none."""
        try:
            with open(self.path, "rb") as file:
                if os.fstat(file.fileno()).st_size < self._offset:
                    self.__init__(self.path)  # type: ignore[misc]  # cut short by another program: start over
                file.seek(self._offset)
                data = file.read()
        except OSError:
            return False
        complete = data.rfind(b"\n") + 1
        self._offset += complete
        for line in data[:complete].splitlines():
            if line.strip():
                self._add(line)
        return complete > 0

    def _add(self, line: bytes) -> None:
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            event = None
        if not isinstance(event, dict) or not isinstance(event.get("kind"), str):
            self.damaged += 1
            return
        if not isinstance(event.get("step"), int):
            event["step"] = None
        self.events.append(event)


def in_force(events: Iterable[Event], starts: Mapping[int, int]) -> list[Event]:
    """Returns the events that still hold: one at or after the step at which a later session resumed is superseded.

    Args:
        events: In the order of the file.
        starts: Session -> its first step.
    """
    kept = []
    for event in events:
        step, session = event["step"], session_of(event)
        later = [start for other, start in starts.items() if other > session]
        if step is None or not later or step < min(later):
            kept.append(event)
    return kept


def phases(events: Iterable[Event]) -> list[Phase]:
    """Returns the phases in order of their start; the same name twice in a row (after a resume) is one phase."""
    found: list[tuple[str, int]] = []
    for event in _of_kind(events, "phase"):
        name = str(event.get("name", ""))
        if found and found[-1][1] == event["step"]:
            found.pop()
        if not found or found[-1][0] != name:
            found.append((name, event["step"]))
    ends = [*(start for _, start in found[1:]), None]
    return [Phase(name, start, ends[i]) for i, (name, start) in enumerate(found)]


def marks(events: Iterable[Event]) -> list[Mark]:
    """Returns the marks in order of their step."""
    return [Mark(event["step"], str(event.get("text", ""))) for event in _of_kind(events, "mark")]


def evaluations(events: Iterable[Event]) -> list[Event]:
    """Returns the evaluations in order of their step, without the bookkeeping keys ``kind`` and ``session``."""
    return [
        {k: v for k, v in event.items() if k not in ("kind", "session")} for event in _of_kind(events, "evaluation")
    ]


def session_of(event: Event) -> int:
    """Returns which start of the training wrote an event."""
    session = event.get("session")
    return session if isinstance(session, int) else 0


def _of_kind(events: Iterable[Event], kind: str) -> list[Event]:
    return sorted((e for e in events if e["kind"] == kind and e["step"] is not None), key=lambda e: int(e["step"]))
