"""Trackio: a run in Trackio's local database (TRACKIO_DIR)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime

from gradlens.mirror.destination import Point

PACKAGE = "trackio"
PROJECT = "gradlens"


class TrackioMirror:
    """Writes into a run of a project in Trackio.

    Attributes:
        place: The project and the run.
        keeps: True.
    """

    def __init__(self, name: str, key: str, own: str | None) -> None:
        """Keeps its arguments.

        Args:
            name: The run's name.
            key: The run's id, from which the name in Trackio is made.
            own: Name of the user's run in Trackio; None = a run of its own.

        Raises:
            ImportError: Trackio is not installed.
        """
        from trackio.sqlite_storage import SQLiteStorage

        self._storage = SQLiteStorage
        self._project = os.environ.get("TRACKIO_PROJECT", PROJECT)
        self._name = f"{name}-{key}" if own is None else own
        self._key = key
        self.place, self.keeps = f"Trackio, project {self._project}, run {self._name}", True

    def already(self, since: int) -> set[tuple[int, str]]:  # noqa: ARG002
        """Returns nothing: Trackio leaves out a line whose id it has."""
        return set()

    def named(self, name: str) -> str:
        """Returns the name as it is."""
        return name

    def write(self, points: Sequence[Point]) -> None:
        """Writes points in one transaction, each with an id of its own."""
        self._storage.bulk_log(
            self._project,
            self._name,
            [dict(point.values) for point in points],
            steps=[point.step for point in points],
            timestamps=[datetime.fromtimestamp(point.time, UTC).isoformat() for point in points],
            log_ids=[f"{self._key}-{point.step}-{point.time!r}-{min(point.values)}" for point in points],
        )

    def supersede(self, step: int) -> bool:  # noqa: ARG002
        """Returns False: Trackio keeps every value."""
        return False

    def close(self, *, over: bool) -> None:
        """Does nothing: everything is written."""
