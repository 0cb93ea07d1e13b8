"""RunLibrary: keeps the runs of a folder open, so that each look reads only what is new."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from gradlens.guards.printable import printable
from gradlens.runlog.errors import RunError
from gradlens.runlog.reading.folders import run_folders
from gradlens.runlog.reading.reader import Run

# A look within this many seconds after the last one gets the same answer.
FRESH_SECONDS = 1.0


class RunLibrary:
    """Opens each run below a folder once, and keeps it up to date. It may be used from several threads.

    A run's name is its path relative to the folder ("seed-0/long-tailed"). If the folder itself is a run, it is the folder's
    name.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._lock = threading.RLock()
        self._runs: dict[str, Run] = {}
        self._shown: dict[str, Run | RunError] = {}
        self._looked = float("-inf")

    def look(self, *, now: bool = False) -> dict[str, Run | RunError]:
        """Returns {name: run} of all runs, as they are now. For a broken run, the value is the error that says why.

        The runs are snapshots: they do not grow while a viewer draws them and another one looks. If nothing is new, they are the
        same objects as before.

        Args:
            now: Look even if the last look was less than FRESH_SECONDS ago.

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
