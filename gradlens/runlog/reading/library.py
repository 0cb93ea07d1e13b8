"""The runs of a folder, kept open: looking again costs only what is new."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from gradlens.guards.printable import printable
from gradlens.runlog.errors import RunError
from gradlens.runlog.reading.listing import run_folders
from gradlens.runlog.reading.reader import Run

# A look at the folder within this many seconds of the last one gets the same answer, however many people look.
FRESH_SECONDS = 1.0


class RunLibrary:
    """Opens the runs beneath a folder once and keeps them up to date. Safe to use from several threads.

    Runs are called by their path relative to the folder ("seed-0/long-tailed"); a folder that is itself a run, by its name.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._lock = threading.RLock()
        self._runs: dict[str, Run] = {}
        self._shown: dict[str, Run | RunError] = {}
        self._looked = float("-inf")

    def look(self, *, now: bool = False) -> dict[str, Run | RunError]:
        """Returns every run by name, as it is now; a broken one as the error that says why.

        The runs are snapshots, so that what one viewer draws does not grow under his hands because another one looks. While
        nothing is new, they are the same objects as before.

        Args:
            now: Look even if somebody has looked a moment ago.

        Raises:
            RunError: The folder cannot be read.
        """
        with self._lock:
            if now or time.monotonic() - self._looked >= FRESH_SECONDS:
                if not self.folder.is_dir():
                    raise RunError(f"{self.folder} is no folder; give the folder that holds the runs")
                unread: dict[Path, RunError] = {}
                found = {self._name(path): path for path in run_folders(self.folder, unread=unread)}
                self._shown = {name: self._show(name, path) for name, path in found.items()}
                self._shown |= {self._name(path): error for path, error in unread.items()}
                self._runs = {name: run for name, run in self._runs.items() if name in found}
                self._looked = time.monotonic()
            return dict(self._shown)

    def _name(self, path: Path) -> str:
        name = path.relative_to(self.folder).as_posix() if path != self.folder else path.resolve().name
        return printable(name)

    def _show(self, name: str, path: Path) -> Run | RunError:
        try:
            if name in self._runs:
                changed = self._runs[name].refresh()
            else:
                self._runs[name], changed = Run(path), True
        except RunError as error:
            self._runs.pop(name, None)
            return error
        return self._runs[name].snapshot() if changed or name not in self._shown else self._shown[name]
