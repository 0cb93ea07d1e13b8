"""RunLibrary: the runs of a folder at each look. A run is opened when somebody wants its rows, and then kept open."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from gradlens.guards.printable import printable
from gradlens.runlog.errors import RunError
from gradlens.runlog.format.card import Card, read_card
from gradlens.runlog.format.run_stamp import Stamp, stamp_of_files
from gradlens.runlog.reading.folders import Content, KnownContents, run_folders
from gradlens.runlog.reading.reader import Run

# A look within this many seconds after the last one gets the same answer.
FRESH_SECONDS = 1.0


@dataclass(frozen=True)
class FoundRun:
    """A run at one look.

    Attributes:
        path: Its folder.
        stamp: The stamp of its files; {} if they could not be looked at.
        card: What people have written about it.
    """

    path: Path
    stamp: Stamp
    card: Card


class RunLibrary:
    """Finds the runs below a folder, and opens those that are asked for. It may be used from several threads.

    A run's name is its path relative to the folder ("seed-0/long-tailed"). If the folder itself is a run, it is the folder's
    name.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._lock = threading.RLock()
        self._content = KnownContents()
        self._names: dict[Path, str] = {}
        self._found: dict[str, FoundRun | RunError] = {}
        self._open: dict[str, tuple[FoundRun, Run, Run]] = {}  # the run, and its last snapshot
        self._looked = float("-inf")

    def look(self, *, now: bool = False) -> dict[str, FoundRun | RunError]:
        """Returns {name: run} of all runs, as they are now. For a folder that cannot be searched, the value is an error.

        If nothing is new, it is the same object as before.

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
                runs = run_folders(self.folder, unread=unread, content=self._content)
                found: dict[str, FoundRun | RunError] = {
                    self._name(path): self._at(path, content) for path, content in runs.items()
                }
                found |= {self._name(path): self._same(path, error) for path, error in unread.items()}
                if found != self._found:
                    self._found = found
                    self._open = {name: kept for name, kept in self._open.items() if name in found}
                self._looked = time.monotonic()
            return self._found

    def open(self, name: str) -> Run:
        """Returns a run as it was at the last look, or later.

        It is a snapshot: it does not grow while a viewer draws it and another one looks. If nothing is new, it is the same
        object as before.

        Raises:
            KeyError: There is no such run.
            RunError: It cannot be read.
        """
        with self._lock:
            found = self._found[name]
            if isinstance(found, RunError):
                raise found
            if name not in self._open:
                run = Run(found.path)
                self._open[name] = (found, run, run.snapshot())
            seen, run, shown = self._open[name]
            if seen is not found:
                try:
                    shown = run.snapshot() if run.refresh() else shown
                except RunError:
                    del self._open[name]
                    raise
                self._open[name] = (found, run, shown)
            return shown

    def _name(self, path: Path) -> str:
        name = self._names.get(path)
        if name is None:
            name = path.relative_to(self.folder).as_posix() if path != self.folder else path.resolve().name
            name = self._names[path] = printable(name)
        return name

    def _at(self, path: Path, content: Content) -> FoundRun:
        try:
            stamp = stamp_of_files(path, content.files)
        except OSError:  # a file has gone since; the next look sees that
            stamp = {}
        found = FoundRun(path, stamp, read_card(path) if content.has_card else Card())
        known = self._found.get(self._name(path))
        return known if isinstance(known, FoundRun) and known == found else found

    def _same(self, path: Path, error: RunError) -> RunError:
        """Returns the error of the last look if it says the same."""
        known = self._found.get(self._name(path))
        return known if isinstance(known, RunError) and str(known) == str(error) else error
