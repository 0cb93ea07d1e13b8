"""RunFiles: opens the files of a run's folder, reads what is added to them, and finds out which rows are in force."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gradlens.runlog.errors import NotARun, RunError, RunTooNew
from gradlens.runlog.format.card import Card, read_card
from gradlens.runlog.format.description import FILE, RunMeta, checked_meta
from gradlens.runlog.format.events import FILE as EVENTS
from gradlens.runlog.format.events import EventFile, session_of
from gradlens.runlog.format.logged import FILE as LOGGED
from gradlens.runlog.format.names import SEGMENTS, place_of
from gradlens.runlog.format.probes import PATTERN as PROBES
from gradlens.runlog.format.probes import Probe, read_probe
from gradlens.runlog.format.regular import reason
from gradlens.runlog.reading.description import read_description
from gradlens.runlog.reading.in_force import SegmentRows, place_in_run, prolonged, rows_in_force
from gradlens.runlog.reading.logged import LoggedFile
from gradlens.runlog.reading.segment import Segment


@dataclass
class Change:
    """What a refresh has found.

    Attributes:
        rows: Number of added rows.
        cut: Whether earlier rows are gone or superseded.
        other: Whether there are new events, new probes, another description or another card.
    """

    rows: int = 0
    cut: bool = False
    other: bool = False

    def __bool__(self) -> bool:
        return self.rows > 0 or self.cut or self.other


@dataclass
class RunFiles:
    """All that was read from a folder so far.

    Attributes:
        folder: The run's folder.
        meta: The run's description.
        rows_in_force: The rows in force, in the order of their steps.
        probes: The probes, oldest first.
        card: What people have written about the run.
    """

    folder: Path
    meta: RunMeta = field(init=False)
    rows_in_force: list[SegmentRows] = field(default_factory=list)
    probes: list[Probe] = field(default_factory=list)
    card: Card = field(default_factory=Card)

    def __post_init__(self) -> None:
        self.events = EventFile(self.folder / EVENTS)
        self.logged = LoggedFile(self.folder / LOGGED)
        self._segments: dict[int, Segment] = {}
        self._probes: dict[str, Probe | None] = {}
        self._problems: list[str] = []
        self._described: list[str] = []
        self._unlisted: str | None = None
        self._foreign: set[str] = set()
        self._stamp = _stamp(self.folder / FILE)
        self.meta, self._described = read_description(self.folder)
        self.card = read_card(self.folder)
        self._names = self._list()
        self._follow()

    @property
    def rows(self) -> int:
        """Number of rows in force."""
        return sum(kept.rows for kept in self.rows_in_force)

    @property
    def segments(self) -> list[Segment]:
        """All segments that can be read, in the order in which they were written."""
        return [self._segments[number] for number in sorted(self._segments)]

    @property
    def proven(self) -> bool:
        """Whether everything has checksums: no part was written by a version without them."""
        return self.meta.id is not None and all(segment.proven for segment in self._segments.values() if segment.rows)

    def warnings(self, *, live: bool) -> tuple[str, ...]:
        """Returns a text for each thing that is missing, belongs to another run, was changed or cannot be read.

        Args:
            live: Whether more rows may come. Then the last write may not be complete yet.
        """
        found = [*self._described, *([self._unlisted] if self._unlisted else []), *self._problems]
        segments = self.segments
        for segment in segments:
            found += [segment.unopened] if segment.unopened else []
            found += segment.problems
            # The end of a file that cannot be opened is not known. The last write of a killed run may be incomplete: its
            # status says that it was killed.
            if not segment.unopened and not (segment is segments[-1] and (live or self.meta.status == "running")):
                found += _torn(
                    segment, {} if self._is_foreign(segment) else self.meta.files.get(_own_name(segment), {})
                )
        present = {*self._names, *(segment.path.name for segment in segments)}
        found += [_missing(name, facts) for name, facts in self.meta.files.items() if name not in present]
        for file in (self.events, self.logged):
            found += file.problems(self.meta.files.get(file.path.name, {}).get("lines") or {})
        return tuple(dict.fromkeys(found))

    def starts(self) -> dict[int, int]:
        """Returns {number of a session: its first step}."""
        first: dict[int, int] = {}
        for segment in self._segments.values():
            if segment.layout is not None and segment.first_step is not None:
                session = segment.layout.session
                first[session] = min(segment.first_step, first.get(session, segment.first_step))
        for event in self.events.events:
            if event["kind"] == "resume" and event["step"] is not None:
                session = session_of(event)
                first[session] = min(event["step"], first.get(session, event["step"]))
        return first

    def refresh(self) -> Change:
        """Reads everything that was added since the last time. If the folder is gone, nothing changes.

        Raises:
            RunTooNew: A later version of gradlens has continued the run.
        """
        # The description is read first: its facts about the files are then older than the files, never newer.
        changed, before = self._refresh_meta(), self.card
        self.card = read_card(self.folder)
        self._names = self._list()
        change = self._follow()
        change.other |= changed or self.card != before
        return change

    def _list(self) -> list[str]:
        self._unlisted = None
        try:
            return os.listdir(self.folder)
        except FileNotFoundError:
            return [segment.path.name for segment in self._segments.values()]
        except OSError as error:
            self._unlisted = f"the folder cannot be read: {reason(error)}"
            return []

    def _follow(self) -> Change:
        change = Change()
        for name in sorted(self._names):
            if (match := SEGMENTS.fullmatch(name)) and name not in self._foreign:
                self._segments.setdefault(int(match[1]), Segment(self.folder / name))
            elif PROBES.fullmatch(name) and name not in self._probes:
                change.other |= self._read_probe(name)
        change.other |= self.events.refresh(self.meta.id)
        if LOGGED in self._names:
            change.other |= self.logged.refresh(self.meta.id)
        rewritten = sum(segment.generation for segment in self._segments.values())
        changed = [self._refresh_segment(number) for number in sorted(self._segments)]
        rewritten -= sum(segment.generation for segment in self._segments.values())
        if any(changed) or rewritten:
            self._hold_against_copies()
            found = self._in_force()
            change.cut = rewritten != 0 or not prolonged(self.rows_in_force, found)
            change.rows = sum(kept.rows for kept in found) - self.rows
            # If a resumed training has superseded earlier rows, these stay here for readers of a snapshot. Run opens the files
            # again.
            if rewritten or not change.cut:
                self.rows_in_force = found
        return change

    def _hold_against_copies(self) -> None:
        """Compares run.json with its copies in the segments. If run.json is damaged, takes groups and layers from a copy."""
        for segment in self.segments:
            if segment.origin is None or not segment.origin.description or segment.origin.run != self.meta.id:
                continue
            try:
                copy = RunMeta.from_json(segment.origin.description, segment.path.name)
            except RunError:
                continue
            differing = [name for name in ("groups", "layer_names") if _differs(name, self.meta, copy)]
            if not differing:
                continue
            said = f"{FILE}: its {' and '.join(differing)} are not those of {segment.path.name}"
            if segment.proven and self._described:
                self.meta = replace(self.meta, **{name: getattr(copy, name) for name in differing})
                said += ", which are taken"
            if said not in self._described:
                self._described.append(said)

    def _refresh_segment(self, number: int) -> bool:
        segment = self._segments[number]
        try:
            return segment.refresh() != 0
        except RunTooNew:
            raise
        except RunError as error:
            self._problems.append(str(error))
            self._foreign.add(segment.path.name)
            del self._segments[number]
            return False

    def _in_force(self) -> list[SegmentRows]:
        resumed = {session_of(event): event["step"] for event in self.events.events if event["kind"] == "resume"}
        return rows_in_force(
            [segment for segment in sorted(self.segments, key=place_in_run) if self._fits(segment)], resumed
        )

    def _fits(self, segment: Segment) -> bool:
        """Says whether a segment has rows that belong to the run. If they do not, or have a wrong place, adds a problem."""
        if segment.first_step is None or segment.layout is None:
            return False
        name, groups, problem = segment.path.name, tuple(self.meta.groups["groups"]), None
        if self._is_foreign(segment):
            problem = f"{name} belongs to another run; its rows are left out"
        elif segment.layout.groups != groups:
            problem = f"{name} has groups {segment.layout.groups}, the run {groups}; its rows are left out"
        elif any(
            place_in_run(other) == place_in_run(segment) for other in self.segments[: self.segments.index(segment)]
        ):
            problem = f"{name} is another copy of segment {place_in_run(segment)}; its rows are left out"
        fits = problem is None
        if fits and place_in_run(segment) != place_of(segment.path):
            problem = (
                f"{name} is segment {place_in_run(segment)} of the run under a wrong name; it is read in its place"
            )
        if problem is not None and problem not in self._problems:
            self._problems.append(problem)
        return fits

    def _is_foreign(self, segment: Segment) -> bool:
        return segment.proven and segment.origin is not None and segment.origin.run != self.meta.id

    def _read_probe(self, name: str) -> bool:
        try:
            self._probes[name] = read_probe(self.folder / name, self.meta.id)
        except NotARun as error:
            self._probes[name] = None
            self._problems.append(str(error))
        self.probes = [probe for _, probe in sorted(self._probes.items()) if probe is not None]
        return True

    def _refresh_meta(self) -> bool:
        stamp = _stamp(self.folder / FILE)
        if stamp is None or stamp == self._stamp:
            return False
        try:
            meta, described = checked_meta(self.folder)
        except RunTooNew:
            raise
        except RunError:
            return False  # the description that was read before stays
        self._stamp = stamp
        changed = meta != self.meta or described != self._described
        self.meta, self._described = meta, described
        return changed


def _torn(segment: Segment, sealed: dict[str, Any]) -> list[str]:
    """Returns a text about the end of a segment that is damaged or not as run.json says; [] if it is right.

    Args:
        segment: A segment that was closed, or whose process is gone.
        sealed: The facts about it in run.json.
    """
    name, rows = segment.path.name, sealed.get("rows")
    short = 0 if rows is None else rows - segment.written
    if segment.unread or short > 0:
        of = f", with the last {short} of {rows} rows" if short > 0 else ""
        return [f"{name}: {segment.unread} bytes at the end are damaged and left out{of}"]
    if rows is not None and not segment.problems and (short or f"{segment.digest:08x}" != sealed.get("digest")):
        return [f"{name}: it is not the file that was closed: it holds {segment.written} rows, {rows} are expected"]
    return []


def _missing(name: str, facts: dict[str, Any]) -> str:
    rows = facts.get("rows")
    return f"{name} is missing" + ("" if rows is None else f" with {rows} rows")


def _differs(name: str, meta: RunMeta, copy: RunMeta) -> bool:
    # A run names its layers when it first measures some.
    return bool(getattr(copy, name)) and getattr(meta, name) != getattr(copy, name)


def _own_name(segment: Segment) -> str:
    return f"measurements-{place_in_run(segment):03d}.arrows"


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
