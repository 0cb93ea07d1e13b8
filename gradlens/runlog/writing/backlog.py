"""Backlog: rows, events, probes and the description of a run that wait to be written to disk. Its memory is limited."""

from __future__ import annotations

import os
import time
from collections import deque
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from gradlens.metrics.measurement import Measurement
from gradlens.runlog.format.description import FILE, RunMeta, write_meta
from gradlens.runlog.format.events import FILE as EVENTS
from gradlens.runlog.format.logged import FILE as LOGGED
from gradlens.runlog.format.logged import KIND
from gradlens.runlog.format.probes import write_probe
from gradlens.runlog.format.schema import RowLayout
from gradlens.runlog.writing.append import SegmentSink, SinkError
from gradlens.runlog.writing.line_queue import LineQueue

MOST_BYTES = 64 << 20
MOST_PROBES = 16
RETRY_SECONDS = 5.0
# run.json is touched this often. Readers on other machines cannot see the process, and see by this that it is alive.
HEARTBEAT_SECONDS = 10.0
# Pauses in seconds between the last tries at the end. After these, everything that still waits is lost.
LAST_TRIES = (0.2, 0.5, 1.0)

Row = tuple[RowLayout, tuple[Any, ...]]
T = TypeVar("T")


class Backlog:
    """Buffers and writes. The training adds by ``add_*`` and ``change_meta``, which never touch the disk. A thread writes.

    There is no lock between the two sides. A signal handler that closes the run may interrupt the training's side anywhere, and
    a thread that waited for a lock there would wait for ever. The sides share deques, whose single operations are atomic. Every
    other attribute is changed by one side only. ``finish`` is called when the thread has ended.

    Attributes:
        trouble: The first error of the disk, or None.
    """

    def __init__(self, folder: Path, meta: RunMeta, session: int) -> None:
        self._meta = meta  # its ``files`` are not used: the writing side keeps them
        self._files = meta.files
        self.trouble: OSError | None = None
        self._folder = folder
        self._session = session
        self._meta_changed = False
        self._rows: deque[Row] = deque()
        self._bytes_taken = self._bytes_written = 0
        self._events = LineQueue(folder, meta.id, EVENTS)
        self._logged = LineQueue(folder, meta.id, LOGGED)
        self._probes: deque[tuple[Measurement, dict[str, Any], dict[str, Any]]] = deque()
        self._lost = {"rows": 0, "events": 0, "probes": 0, "values": 0}
        self._lost_steps: tuple[int, int] | None = None
        self._segment: SegmentSink | None = None
        self._retry_at = 0.0
        self._beat = time.monotonic()

    @property
    def meta(self) -> RunMeta:
        """The description as it is now."""
        return replace(self._meta, files=self._files)

    def add_rows(self, rows: list[Row]) -> int:
        """Adds rows, and returns how many rows wait. If they need more than MOST_BYTES, the oldest are dropped."""
        self._rows.extend(rows)
        self._bytes_taken += sum(map(_size, rows))
        while self._bytes_taken - self._bytes_written > MOST_BYTES and len(self._rows) > 1:
            self._drop()
        return len(self._rows)

    def add_event(self, kind: str, step: int | None, facts: dict[str, Any]) -> None:
        """Adds an event. If very many wait, the oldest is dropped."""
        dropped = self._events.add({"kind": kind, "step": step, "time": time.time(), "session": self._session, **facts})
        self._lost["events"] += dropped

    def add_logged(self, step: int, values: dict[str, Any]) -> None:
        """Adds numbers that the training reports. If very many wait, the oldest are dropped."""
        line = {"kind": KIND, "step": step, "time": time.time(), "session": self._session, "values": values}
        self._lost["values"] += self._logged.add(line)

    def add_probe(self, m: Measurement, groups: dict[str, Any], facts: dict[str, Any]) -> None:
        """Adds a probe. If more than MOST_PROBES wait, the oldest is dropped."""
        self._probes.append((m, groups, facts))
        if len(self._probes) > MOST_PROBES and _first(self._probes) is not None:
            self._lost["probes"] += 1

    def change_meta(self, **changes: Any) -> None:
        """Changes attributes of the description, except ``files``."""
        self._meta = replace(self._meta, **changes)
        self._meta_changed = True  # set last: the writing side clears it before it reads the description

    def note_trouble(self, error: OSError) -> None:
        """Keeps the first error of the disk, for the warning, and sets when to try again."""
        self.trouble = self.trouble or error
        self._retry_at = time.monotonic() + RETRY_SECONDS

    def write_if_due(self) -> None:
        """Writes, unless a try has failed in the last RETRY_SECONDS."""
        if time.monotonic() >= self._retry_at:
            self.write()

    def write(self, *, last: bool = False) -> bool:
        """Writes everything that waits. Returns whether nothing is left.

        Args:
            last: Waits for numbers that a device has not delivered yet.
        """
        done = True
        # If one part cannot be written, the others still are: the description must say what was lost.
        lines = (self._events.write, partial(self._logged.write, wait=last))
        for part in (self._write_rows, self._write_probes, *lines, self._write_meta):
            try:
                part()
            except OSError as error:
                self.note_trouble(error)
                done = False
        return done

    def finish(self) -> dict[str, Any]:
        """Writes everything that waits, ends the segment, and logs what was lost. Errors of the disk are not raised.

        Returns:
            The numbers of lost "rows", "events", "probes" and "values" (lines of them), where they are not 0, and the
            "cause"; {} if nothing was lost.
        """
        for pause in LAST_TRIES:
            if self.write(last=True) or not self._folder.exists():
                break
            time.sleep(pause)
        while self._rows:
            self._drop()
        self._lost["probes"] += len(self._probes)
        self._probes.clear()
        try:
            self._end_segment()
        except OSError as error:
            self.note_trouble(error)
        lost = self._say_what_was_lost() if any(self._lost.values()) else {}
        self.write()
        for queue in (self._events, self._logged):
            if queue.used:
                lines = {**self._earlier_lines(queue.name), str(self._session): queue.written}
                self._note_file(queue.name, {"lines": lines})
                self.write()
        return lost

    def _drop(self) -> None:
        """Drops the oldest row, and counts it as lost."""
        row = _first(self._rows)
        if row is None:
            return
        self._bytes_taken -= _size(row)
        step = row[1][0]
        self._lost["rows"] += 1
        self._lost_steps = (step if self._lost_steps is None else self._lost_steps[0], step)

    def _write_rows(self) -> None:
        while taken := self._next_rows():
            written = 0
            try:
                self._write_to_segment(taken[0][0], [row for _, row in taken])
                written = len(taken)
            except SinkError as error:
                written = error.written
                raise
            finally:
                self._bytes_written -= sum(map(_size, taken[written:]))
                self._rows.extendleft(reversed(taken[written:]))

    def _next_rows(self) -> list[Row]:
        """Removes and returns the oldest rows that fit in one segment: rows of one layout, with growing steps."""
        taken: list[Row] = []
        while (row := _first(self._rows)) is not None:
            self._bytes_written += _size(row)
            if taken and (row[0] is not taken[0][0] or row[1][0] <= taken[-1][1][0]):
                self._bytes_written -= _size(row)
                self._rows.appendleft(row)
                break
            taken.append(row)
        return taken

    def _write_to_segment(self, layout: RowLayout, rows: list[tuple[Any, ...]]) -> None:
        segment = self._segment
        # Another layout, or a step that does not grow, begins the next segment.
        if segment is not None and segment.last_step is not None and rows[0][0] <= segment.last_step:
            segment = None
        if segment is None or segment.broken or segment.layout is not layout:
            self._end_segment()
            segment = self._segment = SegmentSink(self._folder, layout, self.meta.to_json())
        begun = segment.path is None
        try:
            segment.write(rows)
        finally:
            if begun and segment.path is not None:
                self._note_file(segment.path.name, {"rows": None, "digest": None})

    def _end_segment(self) -> None:
        """Ends the segment, and writes its number of rows into the description: readers see then if some are missing."""
        old, self._segment = self._segment, None
        if old is None or old.path is None:
            return
        self._note_file(old.path.name, {"rows": old.rows, "digest": f"{old.digest:08x}"})
        old.close()

    def _note_file(self, name: str, facts: dict[str, Any]) -> None:
        self._files = {**self._files, name: facts}
        self._meta_changed = True

    def _earlier_lines(self, name: str) -> dict[str, int]:
        return dict(self._files.get(name, {}).get("lines") or {})

    def _write_probes(self) -> None:
        while (probe := _first(self._probes)) is not None:
            try:
                path = write_probe(self._folder, *probe, run=self._meta.id)
            except BaseException:
                self._probes.appendleft(probe)
                raise
            self._note_file(path.name, {})

    def _write_meta(self) -> None:
        now = time.monotonic()
        if self._meta_changed:
            self._meta_changed = False
            try:
                write_meta(self._folder, self.meta)
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
        earlier = self._meta.extra.get("lost")
        if isinstance(earlier, dict) and isinstance(earlier.get("rows"), int):  # lost by an earlier start
            facts["rows"] = facts.get("rows", 0) + earlier["rows"]
        self.change_meta(extra={**self._meta.extra, "lost": facts})
        return {**lost, "cause": cause}


def _first(waiting: deque[T]) -> T | None:
    """Removes and returns the oldest item; None if there is none: the other side may have just taken it."""
    try:
        return waiting.popleft()
    except IndexError:
        return None


def _size(row: Row) -> int:
    """Returns about how many bytes a waiting row needs."""
    gram, layers = row[1][3], row[1][4]
    return 1000 + int(gram.nbytes) + (0 if layers is None else int(layers.nbytes))
