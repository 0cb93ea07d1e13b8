"""LoggedFile: reads logged.jsonl as it grows, and keeps its numbers as columns: a name may have a value for each step."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from gradlens.runlog.format.events import Event, EventFile, session_of
from gradlens.runlog.format.logged import KIND, Logged, check_name

if TYPE_CHECKING:
    from pathlib import Path

    from gradlens.runlog.reading.files import RunFiles

# A program that reports more lines than this has made a mistake.
MOST_LINES = 2_000_000


@dataclass
class _Column:
    """All values of one name, in the order of the file."""

    steps: array[int] = field(default_factory=lambda: array("q"))
    values: array[float] = field(default_factory=lambda: array("d"))
    time: array[float] = field(default_factory=lambda: array("d"))
    sessions: array[int] = field(default_factory=lambda: array("q"))


class LoggedFile(EventFile):
    """Reads logged.jsonl. A line that is not complete yet is read later."""

    most = MOST_LINES

    def _start_over(self) -> None:
        super()._start_over()
        self._columns: dict[str, _Column] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the values, in the order in which they came."""
        return tuple(self._columns)

    def column(self, name: str, starts: Mapping[int, int], first: int = 0) -> Logged:
        """Returns the values of a name that no later session supersedes.

        Args:
            name: One of ``names``.
            starts: Number of a session -> its first step.
            first: Leaves out so many of the name's first values in the file.

        Raises:
            KeyError: There is no such name.
        """
        kept = self._columns[name]
        steps, sessions = (np.array(each[first:], dtype=np.int64) for each in (kept.steps, kept.sessions))
        until = np.full(len(steps), np.iinfo(np.int64).max)
        for session in set(sessions.tolist()):
            later = [step for other, step in starts.items() if other > session]
            until[sessions == session] = min(later, default=np.iinfo(np.int64).max)
        order = np.argsort(steps, kind="stable")
        order = order[(steps < until)[order]]
        values, time = (np.array(each[first:], dtype=np.float64) for each in (kept.values, kept.time))
        return Logged(steps[order], values[order], time[order], len(kept.steps))

    def _keep(self, event: Event) -> None:
        values, step = event.get("values"), event.get("step")
        if event["kind"] != KIND or not isinstance(values, dict) or step is None:
            self.strange += 1
            return
        for name, value in values.items():
            try:
                check_name(name)
            except ValueError:
                self.strange += 1
                continue
            column = self._columns.setdefault(name, _Column())
            column.steps.append(step)
            column.values.append(_number(value))
            column.time.append(event.get("time", math.nan))
            column.sessions.append(session_of(event))


def _number(value: Any) -> float:
    known = isinstance(value, (int, float)) and not isinstance(value, bool)
    try:
        return float(value) if known else math.nan
    except OverflowError:
        return math.nan


class _OpenRun(Protocol):
    """What this file needs of the run that it is a part of."""

    path: Path
    _files: RunFiles

    @property
    def _lock(self) -> AbstractContextManager[Any]: ...


class HasLogged:
    """The methods of a run that return what the training reported itself, and when it started."""

    @property
    def logged_names(self: _OpenRun) -> tuple[str, ...]:
        """Names of the values that the training reported itself, by ``gradlens.log`` or a callback; () if there are none."""
        return self._files.logged.names

    @property
    def starts(self: _OpenRun) -> dict[int, int]:
        """Number of each start of the training, from 0 -> its first step, as far as it is known."""
        with self._lock:
            return self._files.starts()

    def logged(self: _OpenRun, name: str, skip: int = 0) -> Logged:
        """Returns the values that the training reported under a name, such as ``run.logged("val_loss").values``.

        They need not belong to measured steps. Values of an earlier session are left out where a later one has superseded them.

        Args:
            name: One of ``logged_names``.
            skip: Leaves out so many of the values that came first, for readers that have seen them.

        Raises:
            KeyError: There is no such name.
        """
        with self._lock:
            file = self._files.logged
            if name not in file.names:
                known = f"it has {', '.join(file.names)}" if file.names else "it has none (gradlens.log reports them)"
                raise KeyError(f"nothing is logged as {name!r} in the run {self.path}; {known}")
            return file.column(name, self._files.starts(), skip)
