"""The files of a run's folder, opened and followed as they grow; which of their rows are in force."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from gradlens.runlog.errors import NotARun, RunError, RunTooNew
from gradlens.runlog.events import FILE as EVENTS
from gradlens.runlog.events import EventFile, session_of
from gradlens.runlog.meta import FILE, RunMeta, read_meta
from gradlens.runlog.probes import PATTERN as PROBES
from gradlens.runlog.probes import Probe, read_probe
from gradlens.runlog.segment import Segment

SEGMENTS = re.compile(r"measurements-(\d+)\.arrows")


@dataclass
class Stretch:
    """The rows of a segment that no later one supersedes: its first ``rows``, the run's from ``first`` on."""

    segment: Segment
    first: int
    rows: int


@dataclass
class Change:
    """What a refresh found: added rows (if ``cut``, earlier rows have gone too), events, probes or another description."""

    rows: int = 0
    cut: bool = False
    other: bool = False

    def __bool__(self) -> bool:
        return self.rows > 0 or self.cut or self.other


@dataclass
class RunFiles:
    """Everything read from a folder so far.

    Attributes:
        folder: The run's folder.
        meta: Its description.
        stretches: The rows in force, in the order of their steps.
        probes: The probes, oldest first.
    """

    folder: Path
    meta: RunMeta = field(init=False)
    stretches: list[Stretch] = field(default_factory=list)
    probes: list[Probe] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.events = EventFile(self.folder / EVENTS)
        self._segments: dict[int, Segment] = {}
        self._probes: dict[int, Probe | None] = {}
        self._problems: list[str] = []
        self._foreign: set[str] = set()
        self._stamp: tuple[int, int] | None = None
        names = self._list()
        self.meta, problem = read_description(self.folder)
        if problem is not None:
            self._problems.append(problem)
        self._stamp = _stamp(self.folder / FILE)
        self._follow(names)

    @property
    def rows(self) -> int:
        """Number of rows in force."""
        return sum(stretch.rows for stretch in self.stretches)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What could not be read and why."""
        found = [*self._problems, *(p for segment in self._segments.values() for p in segment.problems)]
        if (
            self._segments and self.meta.status != "running"
        ):  # a killed run's last write may be torn, a closed run's not
            last = self._segments[max(self._segments)]
            if last.unread:
                found.append(f"{last.path.name}: {last.unread} bytes at the end are damaged and left out")
        if self.events.damaged:
            found.append(f"{EVENTS}: {self.events.damaged} damaged lines are left out")
        return tuple(found)

    def starts(self) -> dict[int, int]:
        """Returns session -> its first step."""
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
        """Reads what was added since the last time. A folder that is gone leaves everything as it is.

        Raises:
            RunTooNew: A later version of gradlens has continued the run.
        """
        return self._follow(self._list())

    def _list(self) -> list[str]:
        try:
            return os.listdir(self.folder)
        except OSError:
            return []

    def _follow(self, names: list[str]) -> Change:
        change = Change()
        for name in names:
            if (match := SEGMENTS.fullmatch(name)) and name not in self._foreign:
                self._segments.setdefault(int(match[1]), Segment(self.folder / name))
            elif (match := PROBES.fullmatch(name)) and int(match[1]) not in self._probes:
                change.other |= self._read_probe(int(match[1]), self.folder / name)
        change.other |= self.events.refresh()
        change.other |= self._refresh_meta()
        rewritten = sum(segment.generation for segment in self._segments.values())
        changed = [self._refresh_segment(number) for number in sorted(self._segments)]
        rewritten -= sum(segment.generation for segment in self._segments.values())
        if any(changed) or rewritten:
            found = self._in_force()
            change.cut = rewritten != 0 or not _prolonged(self.stretches, found)
            change.rows = sum(stretch.rows for stretch in found) - self.rows
            # Earlier rows that a resumed training supersedes stay for those who still look at them; Run opens the files anew.
            if rewritten or not change.cut:
                self.stretches = found
        return change

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

    def _in_force(self) -> list[Stretch]:
        resumed = {session_of(event): event["step"] for event in self.events.events if event["kind"] == "resume"}
        kept: list[tuple[int, Stretch]] = []
        for number in sorted(self._segments):
            segment = self._segments[number]
            if segment.first_step is None or segment.layout is None or not self._fits(segment):
                continue
            # A session says where it resumed; the first step that it measures may come later.
            said = resumed.pop(segment.layout.session, None)
            start = segment.first_step if said is None else min(said, segment.first_step)
            while kept and kept[-1][0] >= start:
                kept.pop()
            if kept:
                kept[-1][1].rows = kept[-1][1].segment.rows_before(start)
            kept.append((segment.first_step, Stretch(segment, 0, segment.rows)))
        first = 0
        stretches = [stretch for _, stretch in kept]
        for stretch in stretches:
            stretch.first = first
            first += stretch.rows
        return stretches

    def _fits(self, segment: Segment) -> bool:
        groups = tuple(self.meta.groups["groups"])
        if segment.layout is None or segment.layout.groups == groups:
            return segment.layout is not None
        problem = f"{segment.path.name} has groups {segment.layout.groups}, the run {groups}; its rows are left out"
        if problem not in self._problems:
            self._problems.append(problem)
        return False

    def _read_probe(self, number: int, path: Path) -> bool:
        try:
            self._probes[number] = read_probe(path)
        except NotARun as error:
            self._probes[number] = None
            self._problems.append(str(error))
        self.probes = [probe for _, probe in sorted(self._probes.items()) if probe is not None]
        return True

    def _refresh_meta(self) -> bool:
        stamp = _stamp(self.folder / FILE)
        if stamp is None or stamp == self._stamp:
            return False
        try:
            meta = read_meta(self.folder)
        except RunTooNew:
            raise
        except RunError:
            return False  # what was read before still holds
        self._stamp = stamp
        changed, self.meta = meta != self.meta, meta
        return changed


def read_description(folder: Path) -> tuple[RunMeta, str | None]:
    """Reads run.json or, where that is lost or damaged, the copy in the newest readable segment, and says so.

    Raises:
        NotARun: Not a run's folder.
        RunTooNew: A later schema version.
        RunError: A damaged run.json and no copy.
    """
    try:
        return read_meta(folder), None
    except RunTooNew:
        raise
    except RunError as error:
        try:
            names = sorted(name for name in os.listdir(folder) if SEGMENTS.fullmatch(name))
        except OSError:
            names = []
        for name in reversed(names):
            segment = Segment(folder / name)
            try:
                segment.refresh()
                meta = RunMeta.from_json(segment.description, name)
            except RunTooNew:
                raise
            except RunError:
                continue
            # The copy is from the start of the segment: how the run ended is not in it.
            return replace(meta, status="running"), f"{error} (facts about the run are taken from {name})"
        raise


def _prolonged(before: list[Stretch], after: list[Stretch]) -> bool:
    """Whether the rows of ``before`` are still there, at the same place; only the last stretch may have grown."""
    if len(after) < len(before):
        return False
    pairs = list(zip(before, after, strict=False))
    same = all(old.segment is new.segment and old.first == new.first for old, new in pairs)
    return same and all(o.rows == n.rows for o, n in pairs[:-1]) and all(o.rows <= n.rows for o, n in pairs[-1:])


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
