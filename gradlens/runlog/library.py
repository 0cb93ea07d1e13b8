"""The runs of a folder, kept open: looking again costs only what is new."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from gradlens.runlog.errors import RunError
from gradlens.runlog.listing import run_folders
from gradlens.runlog.reader import Run

# A look at the folder within this many seconds of the last one gets the same answer, however many people look.
FRESH_SECONDS = 1.0


class RunLibrary:
    """Opens the runs beneath a folder once and keeps them up to date. Safe to use from several threads.

    Runs are called by their path relative to the folder ("seed-0/long-tailed"); a folder that is itself a run, by its name.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._lock = threading.RLock()
        self._known: dict[str, Run | RunError] = {}
        self._looked = float("-inf")

    def look(self, *, now: bool = False) -> dict[str, Run | RunError]:
        """Returns every run by name, up to date; a broken one as the error that says why.

        Args:
            now: Look even if somebody has looked a moment ago.

        Raises:
            RunError: The folder cannot be read.
        """
        with self._lock:
            if now or time.monotonic() - self._looked >= FRESH_SECONDS:
                if not self.folder.is_dir():
                    raise RunError(f"{self.folder} is no folder; give the folder that holds the runs")
                self._known = {self._name(path): self._open(path) for path in run_folders(self.folder)}
                self._looked = time.monotonic()
            return dict(self._known)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix() if path != self.folder else path.resolve().name

    def _open(self, path: Path) -> Run | RunError:
        known = self._known.get(self._name(path))
        try:
            if not isinstance(known, Run):
                return Run(path)
            known.refresh()
        except RunError as error:
            return error
        return known
