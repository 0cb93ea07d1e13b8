"""What a writer has taken and the disk has not: rows, events, probes and the description, bounded in memory."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

from gradlens.metrics.measurement import Measurement
from gradlens.runlog.format.description import FILE, RunMeta, write_meta
from gradlens.runlog.format.events import FILE as EVENTS
from gradlens.runlog.format.events import LINE
from gradlens.runlog.format.probes import write_probe
from gradlens.runlog.format.schema import RowLayout
from gradlens.runlog.writing.append import EventSink, SegmentSink, SinkError

MOST_BYTES = 64 << 20
MOST_EVENTS = 10_000
MOST_PROBES = 16
RETRY_SECONDS = 5.0
# Readers on other machines cannot see the process; they see that run.json is touched.
HEARTBEAT_SECONDS = 10.0
# Pauses between the tries at the end, before what waits is given up.
LAST_TRIES = (0.2, 0.5, 1.0)

Row = tuple[RowLayout, tuple[Any, ...]]


class Backlog:
    """Buffers and writes. ``add_*`` are quick and never touch the disk; ``write`` does, from one thread at a time.

    Attributes:
        meta: The description as it stands.
        trouble: The first error that the disk gave, or None.
    """

    def __init__(self, folder: Path, meta: RunMeta, session: int) -> None:
        self.meta = meta
        self.trouble: OSError | None = None
        self._folder = folder
        self._session = session
        self._meta_changed = False
        self._rows: deque[Row] = deque()
        self._bytes = 0
        self._events: deque[dict[str, Any]] = deque()
        self._probes: deque[tuple[Measurement, dict[str, Any], dict[str, Any]]] = deque()
        self._lost = {"rows": 0, "events": 0, "probes": 0}
        self._lost_steps: tuple[int, int] | None = None
        self._buffer = threading.RLock()
        self._disk = threading.RLock()
        self._writing = False
        self._segment: SegmentSink | None = None
        self._event_file = EventSink(folder, meta.id)
        self._lines = 0
        self._retry_at = 0.0
        self._beat = time.monotonic()

    def add_rows(self, rows: list[Row]) -> int:
        """Takes rows and returns how many wait; the oldest go where too many wait."""
        with self._buffer:
            self._rows.extend(rows)
            self._bytes += sum(map(_size, rows))
            while self._bytes > MOST_BYTES and len(self._rows) > 1:
                self._drop()
            return len(self._rows)

    def add_event(self, kind: str, step: int | None, facts: dict[str, Any]) -> None:
        """Takes an event."""
        event = {"kind": kind, "step": step, "time": time.time(), "session": self._session, **facts}
        with self._buffer:
            event[LINE] = self._lines
            self._lines += 1
            self._events.append(event)
            if len(self._events) > MOST_EVENTS:
                self._events.popleft()
                self._lost["events"] += 1

    def add_probe(self, m: Measurement, groups: dict[str, Any], facts: dict[str, Any]) -> None:
        """Takes a probe."""
        with self._buffer:
            self._probes.append((m, groups, facts))
            if len(self._probes) > MOST_PROBES:
                self._probes.popleft()
                self._lost["probes"] += 1

    def change_meta(self, **changes: Any) -> None:
        """Changes attributes of the description."""
        with self._buffer:
            self.meta, self._meta_changed = replace(self.meta, **changes), True

    def note_trouble(self, error: OSError) -> None:
        """Remembers what the disk said, for the one warning, and when to try again."""
        self.trouble = self.trouble or error
        self._retry_at = time.monotonic() + RETRY_SECONDS

    def write_if_due(self) -> None:
        """Writes unless the last try failed a moment ago."""
        if time.monotonic() >= self._retry_at:
            self.write()

    def write(self) -> bool:
        """Writes everything that waits; True if nothing is left."""
        with self._disk:
            if self._writing:
                return False  # a signal handler interrupted this thread's own write
            self._writing = True
            done = True
            try:
                # What cannot be written keeps nothing else from being written: the description says what was lost.
                for part in (self._write_rows, self._write_probes, self._write_events, self._write_meta):
                    try:
                        part()
                    except OSError as error:
                        self.note_trouble(error)
                        done = False
            finally:
                self._writing = False
            return done

    def finish(self) -> dict[str, Any]:
        """Writes everything, says what was lost, ends the segment. Never raises for the disk.

        Returns:
            What was lost: "rows", "events", "probes" where there were any, and "cause".
        """
        for pause in LAST_TRIES:
            if self.write() or not self._folder.exists():
                break
            time.sleep(pause)
        with self._disk:
            with self._buffer:
                for _ in range(len(self._rows)):
                    self._drop()
                self._lost["probes"] += len(self._probes)
                self._probes.clear()
            try:
                self._end_segment()
            except OSError as error:
                self.note_trouble(error)
        lost = self._say_what_was_lost() if any(self._lost.values()) else {}
        self.write()
        if self._lines:
            written = self._lines - len(self._events)
            self._note_file(EVENTS, {"lines": {**self._earlier_lines(), str(self._session): written}})
            self.write()
        return lost

    def _drop(self) -> None:
        """Gives up the oldest row; called with the buffer locked."""
        row = self._rows.popleft()
        self._bytes -= _size(row)
        step = row[1][0]
        self._lost["rows"] += 1
        self._lost_steps = (step if self._lost_steps is None else self._lost_steps[0], step)

    def _write_rows(self) -> None:
        while self._rows:
            with self._buffer:
                layout = self._rows[0][0]
                taken: list[Row] = []
                last = None if self._segment is None else self._segment.last_step
                fresh = self._segment is None or self._segment.broken or self._segment.layout is not layout
                fresh = fresh or (last is not None and self._rows[0][1][0] <= last)
                last = None if fresh else last
                # One segment holds one layout and growing steps; whatever departs from that starts the next segment.
                while self._rows and self._rows[0][0] is layout and (last is None or self._rows[0][1][0] > last):
                    taken.append(self._rows.popleft())
                    last = taken[-1][1][0]
                self._bytes -= sum(map(_size, taken))
            written = 0
            try:
                self._write_to_segment(layout, [row for _, row in taken], fresh)
                written = len(taken)
            except SinkError as error:
                written = error.written
                raise
            finally:
                with self._buffer:
                    self._rows.extendleft(reversed(taken[written:]))
                    self._bytes += sum(map(_size, taken[written:]))

    def _write_to_segment(self, layout: RowLayout, rows: list[tuple[Any, ...]], fresh: bool) -> None:
        if fresh or self._segment is None:
            self._end_segment()
            self._segment = SegmentSink(self._folder, layout, self.meta.to_json())
        begun = self._segment.path is None
        try:
            self._segment.write(rows)
        finally:
            if begun and self._segment.path is not None:
                self._note_file(self._segment.path.name, {"rows": None, "digest": None})

    def _end_segment(self) -> None:
        """Ends the segment and notes what it holds, so that a reader sees what it lacks."""
        old, self._segment = self._segment, None
        if old is None or old.path is None:
            return
        self._note_file(old.path.name, {"rows": old.rows, "digest": f"{old.digest:08x}"})
        old.close()

    def _note_file(self, name: str, facts: dict[str, Any]) -> None:
        with self._buffer:
            self.change_meta(files={**self.meta.files, name: facts})

    def _earlier_lines(self) -> dict[str, int]:
        return dict(self.meta.files.get(EVENTS, {}).get("lines") or {})

    def _write_probes(self) -> None:
        while self._probes:
            with self._buffer:
                probe = self._probes[0]
            path = write_probe(self._folder, *probe, run=self.meta.id)
            self._note_file(path.name, {})
            with self._buffer:
                if self._probes and self._probes[0] is probe:
                    self._probes.popleft()

    def _write_events(self) -> None:
        with self._buffer:
            events = list(self._events)
            self._events.clear()
        if not events:
            return
        written = 0
        try:
            self._event_file.write(events)
            written = len(events)
        except SinkError as error:
            written = error.written
            raise
        finally:
            with self._buffer:
                self._events.extendleft(reversed(events[written:]))

    def _write_meta(self) -> None:
        with self._buffer:
            meta, changed = self.meta, self._meta_changed
            self._meta_changed = False
        now = time.monotonic()
        if changed:
            try:
                write_meta(self._folder, meta)
            except OSError:
                self._meta_changed = True
                raise
            self._beat = now
        elif now - self._beat >= HEARTBEAT_SECONDS:
            os.utime(self._folder / FILE)
            self._beat = now

    def _say_what_was_lost(self) -> dict[str, Any]:
        lost: dict[str, Any] = {key: count for key, count in self._lost.items() if count}
        first, last = self._lost_steps or (None, None)
        cause = "unknown" if self.trouble is None else self.trouble.strerror or str(self.trouble)
        facts = {**lost, "first_step": first, "last_step": last, "cause": cause}
        self.add_event("lost", last, facts)
        earlier = self.meta.extra.get("lost")
        if isinstance(earlier, dict) and isinstance(earlier.get("rows"), int):  # by an earlier start of the training
            facts["rows"] = facts.get("rows", 0) + earlier["rows"]
        self.change_meta(extra={**self.meta.extra, "lost": facts})
        return {**lost, "cause": cause}


def _size(row: Row) -> int:
    """Returns about how many bytes a waiting row holds."""
    gram, layers = row[1][3], row[1][4]
    return 1000 + int(gram.nbytes) + (0 if layers is None else int(layers.nbytes))
