"""TensorBoard: event files in a folder. A step is one record, so a step is there whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gradlens.mirror.destination import Point

PACKAGE = "tensorboard"
SUFFIX = ".gradlens"


class TensorBoardMirror:
    """Writes event files of its own into a folder, which may hold others.

    Attributes:
        place: The folder.
        keeps: True.
    """

    def __init__(self, folder: Path) -> None:
        """Keeps its argument. The first write makes a file.

        Args:
            folder: The folder.

        Raises:
            ImportError: TensorBoard is not installed.
        """
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self.place, self.keeps = str(folder.resolve()), True
        self._events, self._summaries, self._begin = event_pb2, summary_pb2, EventFileWriter
        self._writer: Any = None

    def already(self, since: int) -> set[tuple[int, str]]:
        """Returns (step, name) of the points in files of gradlens. A record that was cut off does not count."""
        found: set[tuple[int, str]] = set()
        for event in self._read():
            if event.HasField("session_log"):
                found = {point for point in found if point[0] < event.step}
            elif event.HasField("summary") and event.step >= since:
                found |= {(event.step, value.tag) for value in event.summary.value}
        return found

    def named(self, name: str) -> str:
        """Returns the name as it is."""
        return name

    def write(self, points: Sequence[Point]) -> None:
        """Writes points, each as one record."""
        for point in points:
            values = [self._summaries.Summary.Value(tag=n, simple_value=v) for n, v in point.values.items()]
            summary = self._summaries.Summary(value=values)
            self._add(self._events.Event(wall_time=point.time, step=point.step, summary=summary))
        if self._writer is not None:
            self._writer.flush()

    def supersede(self, step: int) -> bool:
        """Says that the training has started again at a step: TensorBoard then drops what stands from there on."""
        log = self._events.SessionLog(status=self._events.SessionLog.START)
        self._add(self._events.Event(step=step, session_log=log))
        return True

    def close(self, *, over: bool) -> None:  # noqa: ARG002
        """Closes the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _add(self, event: Any) -> None:
        if self._writer is None:
            self._writer = self._begin(self.place, filename_suffix=SUFFIX)
        self._writer.add_event(event)

    def _read(self) -> Iterator[Any]:
        from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

        for path in sorted(Path(self.place).glob(f"events.out.tfevents.*{SUFFIX}")):
            yield from LegacyEventFileLoader(str(path)).Load()
