"""LineQueue: lines of JSON that wait to be appended to a file of a run. Its memory is limited."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

from gradlens.runlog.format.events import LINE
from gradlens.runlog.writing.append import EventSink, SinkError

MOST_LINES = 10_000


class LineQueue:
    """Keeps lines until they are written. The training adds, a thread writes; see ``Backlog``.

    Attributes:
        name: Name of the file.
    """

    def __init__(self, folder: Path, run: str | None, name: str) -> None:
        """Keeps its arguments.

        Args:
            folder: The run's folder.
            run: The run's id.
            name: Name of the file.
        """
        self.name = name
        self._waiting: deque[dict[str, Any]] = deque()
        self._file = EventSink(folder, run, name)
        self._numbered = 0

    def add(self, line: dict[str, Any]) -> bool:
        """Adds a line. If more than MOST_LINES wait, the oldest is dropped. Returns whether one was."""
        self._waiting.append(line)
        return len(self._waiting) > MOST_LINES and self._first() is not None

    @property
    def written(self) -> int:
        """Number of written lines."""
        return self._numbered - len(self._waiting)

    @property
    def used(self) -> bool:
        """Whether a line was ever ready to be written."""
        return self._numbered > 0

    def write(self, *, wait: bool = False) -> None:
        """Writes the lines that wait, up to the first with a number that a device has not delivered yet.

        Args:
            wait: Waits for such numbers, too.

        Raises:
            SinkError: The file system refuses. The lines that were not written wait on.
        """
        lines: list[dict[str, Any]] = []
        while (line := self._first()) is not None:
            if not wait and not all(getattr(value, "there", True) for value in line.get("values", {}).values()):
                self._waiting.appendleft(line)
                break
            if "values" in line:
                line["values"] = {name: float(value) for name, value in line["values"].items()}
            if LINE not in line:  # if it has a number, an earlier write of it has failed
                line[LINE] = self._numbered
                self._numbered += 1
            lines.append(line)
        if not lines:
            return
        written = 0
        try:
            self._file.write(lines)
            written = len(lines)
        except SinkError as error:
            written = error.written
            raise
        finally:
            self._waiting.extendleft(reversed(lines[written:]))

    def _first(self) -> dict[str, Any] | None:
        """Removes and returns the oldest line; None if there is none: the other side may have just taken it."""
        try:
            return self._waiting.popleft()
        except IndexError:
            return None
