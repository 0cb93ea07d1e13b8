"""Mirroring: brings a tracker up to date with a run, once or as long as the training goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from gradlens.mirror.cursor import Cursor, cursor_path
from gradlens.mirror.destination import Destination, Point
from gradlens.mirror.series import evaluation_points, logged_points, measured_points
from gradlens.runlog import Run

# Points that are written at a time. After each such part the cursor is kept.
PART = 200
# Seconds between two looks at a growing run.
PAUSE = 2.0


class Mirroring:
    """Mirrors one run to one place.

    Attributes:
        written: Number of steps with values that were written.
    """

    def __init__(self, run: Run, to: str, tracker: Destination, say: Callable[[str], None]) -> None:
        """Reads the cursor, and asks the tracker for what an earlier call may have written without a note of it.

        Args:
            run: The run.
            to: The tracker's name.
            tracker: The tracker.
            say: Prints a line for the user.

        Raises:
            MirrorError: The cursor cannot be read.
        """
        self._run, self._tracker, self._say = run, tracker, say
        self._path: Path = cursor_path(run.path, to, tracker.place)
        self._cursor = Cursor.read(self._path)
        self.written = 0
        since = self._cursor.pending
        if since is None and not tracker.keeps and self._cursor != Cursor():
            self._cursor, since = Cursor(starts=self._cursor.starts), 0
        self._known = set() if since is None else tracker.already(since)

    def follow(self, stop: threading.Event) -> None:
        """Catches up again and again, until the run is over or ``stop`` is set.

        Raises:
            MirrorError: The cursor cannot be kept.
            RunError: The run cannot be read any more.
        """
        while True:
            live = self._run.status.live  # before the look: what is written until the end is still seen
            self.catch_up(stop)
            if not live or stop.wait(PAUSE):
                return
            self._run.refresh()

    def catch_up(self, stop: threading.Event | None = None) -> None:
        """Writes what is new in the run.

        Args:
            stop: Once it is set, nothing more is written.

        Raises:
            MirrorError: The cursor cannot be kept.
        """
        run, cursor = self._run, self._cursor
        first = self._first_new_row()
        points = measured_points(run, first)
        starts = {str(session): step for session, step in run.starts.items()}
        if points and points[0].step <= cursor.step:
            self._supersede(points[0].step)
        for start in range(0, len(points), PART):
            if stop is not None and stop.is_set():
                return
            part = points[start : start + PART]
            self._write(part, replace(self._cursor, step=part[-1].step, time=part[-1].time, starts=starts))
        events = len(run.events)
        logged, counts = logged_points(run, cursor.logged)
        others = [*evaluation_points(run, cursor.events), *logged]
        if stop is not None and stop.is_set():
            return
        if others:
            self._write(others, replace(self._cursor, events=events, logged=counts))
        self._known = set()

    def _first_new_row(self) -> int:
        """Returns the first row that was not mirrored, or that stands where a superseded one was mirrored."""
        run, cursor = self._run, self._cursor
        steps, times = run.steps, run.time
        changed = [step for session, step in run.starts.items() if cursor.starts.get(str(session)) != step]
        first = min([cursor.step + 1, *changed])
        row = int(np.searchsorted(steps, cursor.step))
        if cursor.step >= 0 and not (row < len(steps) and steps[row] == cursor.step and times[row] == cursor.time):
            later = np.flatnonzero(times > cursor.time)
            first = min([first, *steps[later[:1]].tolist()])
        return int(np.searchsorted(steps, first))

    def _supersede(self, step: int) -> None:
        if self._tracker.supersede(step):
            self._known = {known for known in self._known if known[0] < step}
        else:
            self._say(
                f"the training was resumed at step {step:,}; {self._tracker.place} cannot take back the points from there on, "
                "so it shows those of both starts"
            )
            self._known = set()

    def _write(self, points: Sequence[Point], after: Cursor) -> None:
        new = [self._unknown(point) for point in points]
        new = [point for point in new if point.values]
        if new:
            before = min(point.step for point in new)
            pending = self._cursor.pending
            self._keep(replace(self._cursor, pending=before if pending is None else min(before, pending)))
            self._tracker.write(new)
            self.written += len(new)
        self._keep(replace(after, pending=None))

    def _unknown(self, point: Point) -> Point:
        if not self._known:
            return point
        named = self._tracker.named
        new = {n: v for n, v in point.values.items() if (point.step, named(n)) not in self._known}
        return replace(point, values=new)

    def _keep(self, cursor: Cursor) -> None:
        if cursor != self._cursor:
            cursor.write(self._path, self._tracker.place)
            self._cursor = cursor
