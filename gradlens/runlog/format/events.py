"""events.jsonl: the events of a run, each a line with a strict JSON object. Phases, marks and evaluations are events.

Kinds that gradlens writes: "phase" (name), "mark" (text), "evaluation" (numbers), "resume", "lost" (rows that could not be
written), and those of a lens. ``session`` is the number of the training's start, from 0.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradlens.runlog.format import strict_json
from gradlens.runlog.format.regular import open_regular, reason
from gradlens.runlog.format.text_proof import BLANK, TEXT_KEY, intact, proven_text, run_seed

FILE = "events.jsonl"
# Key of a line's number among the lines of its session.
LINE = "gradlens_line"
# A program that writes more events than this has made a mistake. To keep and draw them all would stop every viewer.
MOST_EVENTS = 100_000
CHUNK_BYTES = 16 << 20
MOST_BYTES = 1 << 30
LARGEST_STEP = 1 << 53
LATEST = 1e11  # Unix seconds, in the year 5138
Event = dict[str, Any]


@dataclass(frozen=True)
class Phase:
    """A named part of a training.

    Attributes:
        name: Its name ("I", "II").
        start: First step.
        end: First step of the next phase; None if this is the last one.
    """

    name: str
    start: int
    end: int | None


@dataclass(frozen=True)
class Mark:
    """A named step of a training.

    Attributes:
        step: The step.
        text: What happened.
    """

    step: int
    text: str


class EventFile:
    """Reads events.jsonl as it grows. A line that is not complete yet is read later.

    Attributes:
        path: The file.
        events: The events, in the order of the file.
        taken: Number of lines that were taken.
        run: The run's id; None: lines need no checksum.
        unopened: Why the file could not be opened at the last refresh; None if it could.
    """

    most = MOST_EVENTS

    def __init__(self, path: Path) -> None:
        self.path = path
        self.run: str | None = None
        self.unopened: str | None = None
        self._start_over()

    def _start_over(self) -> None:
        self.events: list[Event] = []
        self.taken = self.damaged = self.strange = self.surplus = 0
        self._next: dict[int, int] = {}
        self._missing: dict[int, int] = {}
        self._offset = 0

    def problems(self, lines: Mapping[str, int]) -> list[str]:
        """Returns a text for each thing that is wrong with the file.

        Args:
            lines: Number of a session, as text -> the lines that it has written, as run.json says.
        """
        missing = dict(self._missing)
        # Lines of a run without an id have no numbers. If the file cannot be opened, it is not known how many are missing.
        for session, count in lines.items() if self.run is not None and self.unopened is None else ():
            missing[int(session)] = missing.get(int(session), 0) + max(count - self._next.get(int(session), 0), 0)
        counts = {
            "damaged lines are left out": self.damaged,
            "lines at a wrong place are left out": self.strange,
            "lines are missing": sum(missing.values()) - self.damaged,
            f"lines beyond the first {self.most:,} are left out": self.surplus,
        }
        found = [f"{self.path.name}: {count} {what}" for what, count in counts.items() if count > 0]
        return found if self.unopened is None else [self.unopened, *found]

    def refresh(self, run: str | None = None) -> bool:
        """Reads the lines that were added since the last time. Returns whether there were any.

        Args:
            run: The run's id; None: lines need no checksum.
        """
        self.run, self.unopened = run, None
        try:
            with open_regular(self.path, MOST_BYTES) as file:
                if os.fstat(file.fileno()).st_size < self._offset:
                    self._start_over()  # another program has made the file shorter
                file.seek(self._offset)
                before = self._offset
                while self._read(file.read(CHUNK_BYTES)):
                    file.seek(self._offset)
        except FileNotFoundError:
            return False
        except OSError as error:
            self.unopened = f"{self.path.name} cannot be read: {reason(error)}"
            return False
        return self._offset > before

    def _read(self, data: bytes) -> bool:
        """Adds the complete lines of ``data``. Returns whether there may be more."""
        complete = data.rfind(b"\n") + 1
        if not complete and len(data) == CHUNK_BYTES:  # gradlens writes no line of this length
            self.damaged += 1
            complete = len(data)
            data = b""
        self._offset += complete
        for line in data[:complete].splitlines():
            if line.strip():
                self._add(line)
        return complete > 0

    def _add(self, line: bytes) -> None:
        if self.taken >= self.most:
            self.surplus += 1
            return
        proven = intact(line, run_seed(self.run))
        try:
            event = strict_json.read(line)
        except ValueError:
            event = None
        fine = isinstance(event, dict) and isinstance(event.get("kind"), str)
        if not fine or proven is False or (proven is None and self.run is not None):
            self.damaged += 1
        elif self._in_place(event):
            self.taken += 1
            self._keep(_sound(event))

    def _keep(self, event: Event) -> None:
        self.events.append(event)

    def _in_place(self, event: Event) -> bool:
        """Says whether a line comes after the last one of its session. Counts the lines that are missing between them."""
        line, session = event.pop(LINE, None), session_of(event)
        event.pop(TEXT_KEY, None)
        if self.run is None or not _whole(line):
            return True
        known = self._next.get(session, 0)
        if line < known:
            self.strange += 1
            return False
        self._missing[session] = self._missing.get(session, 0) + line - known
        self._next[session] = line + 1
        return True


def line_of(event: Event, run: str | None) -> bytes:
    """Returns an event as a line with its checksum."""
    text = strict_json.dumps({**event, TEXT_KEY: BLANK}) + "\n"
    # The checksum does not cover the line's end: if the end of a line was not written, the next write adds it.
    return proven_text(text.encode().removesuffix(b"\n"), run_seed(run)) + b"\n"


def _sound(event: Event) -> Event:
    """Returns the event with a ``step`` that is None if it is no number, and without a ``time`` that is none."""
    if not _whole(event.get("step")):
        event["step"] = None
    at = event.get("time")
    if not isinstance(at, (int, float)) or isinstance(at, bool) or not 0 <= at < LATEST:
        event.pop("time", None)
    return event


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < LARGEST_STEP


def in_force(events: Iterable[Event], starts: Mapping[int, int]) -> list[Event]:
    """Returns the events that no later session supersedes: it supersedes events at and after the step where it resumed.

    Args:
        events: The events, in the order of the file.
        starts: Number of a session -> its first step.
    """
    kept = []
    for event in events:
        step, session = event["step"], session_of(event)
        later = [start for other, start in starts.items() if other > session]
        if step is None or not later or step < min(later):
            kept.append(event)
    return kept


def phases(events: Iterable[Event]) -> list[Phase]:
    """Returns the phases in the order of their start. The same name twice in a row (after a resume) is one phase."""
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
    """Returns the marks in the order of their step."""
    return [Mark(event["step"], str(event.get("text", ""))) for event in _of_kind(events, "mark")]


def evaluations(events: Iterable[Event]) -> list[Event]:
    """Returns the evaluations in the order of their step, without the keys ``kind`` and ``session``."""
    return [
        {k: v for k, v in event.items() if k not in ("kind", "session")} for event in _of_kind(events, "evaluation")
    ]


def session_of(event: Event) -> int:
    """Returns the number of the training's start that has written an event, from 0."""
    session: Any = event.get("session")
    return int(session) if _whole(session) else 0


def _of_kind(events: Iterable[Event], kind: str) -> list[Event]:
    return sorted((e for e in events if e["kind"] == kind and e["step"] is not None), key=lambda e: int(e["step"]))
