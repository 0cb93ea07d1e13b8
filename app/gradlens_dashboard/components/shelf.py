"""Shelf: all runs of the folder at one moment, with a row for each. Rows are kept, so that a look computes only what is new."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from gradlens.analysis.facts import incomplete_texts, training_steps
from gradlens.analysis.kept_overview import kept_overview, made_overview
from gradlens.analysis.overview import last_accuracy, overview
from gradlens.analysis.row import Overview
from gradlens.guards.error_text import in_one_line
from gradlens.runlog import Run, RunError
from gradlens.runlog.format.card import Card
from gradlens.runlog.reading.library import FoundRun, RunLibrary

# A live run's distortion is computed again only after the run has grown by this factor.
GROWN = 1.01


class OpenedRuns(Mapping[str, Run]):
    """Name -> run. A run is opened when it is asked for; it stays the same object as long as its shelf."""

    def __init__(self, library: RunLibrary, names: dict[str, Path]) -> None:
        """Keeps its arguments.

        Args:
            library: Opens the runs.
            names: Name -> folder of each run.
        """
        self._library = library
        self._names = names
        self._at = {path: name for name, path in names.items()}
        self._opened: dict[str, Run] = {}

    def __getitem__(self, name: str) -> Run:
        if name not in self._opened:
            if name not in self._names:
                raise KeyError(name)
            self._opened[name] = self._library.open(name)
        return self._opened[name]

    def path(self, name: str) -> Path:
        """Returns the folder of a run.

        Raises:
            KeyError: There is no such run.
        """
        return self._names[name]

    def at(self, path: Path) -> Run | None:
        """Returns the run in a folder, or None."""
        name = self._at.get(path)
        return None if name is None else self[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@dataclass(frozen=True)
class Shelf:
    """The runs of the folder at one moment. If nothing is new, it is the same object as before.

    Attributes:
        folder: The folder.
        rows: Name -> row, for runs that can be read. Live runs come first, then the latest.
        runs: Name -> run, in the same order.
        cards: Name -> what people have written about it, in the same order.
        broken: Name -> reason, for runs that cannot be read or shown.
        waiting: How many runs have not been read yet.
        number: Another one for each shelf of the folder.
    """

    folder: Path
    rows: dict[str, Overview]
    runs: OpenedRuns
    cards: dict[str, Card]
    broken: dict[str, str]
    waiting: int
    number: int

    @property
    def worth_showing(self) -> list[str]:
        """Names of the runs that have measured steps or are live; of all runs if there is no such run."""
        listed = self.listed
        return [name for name in listed if self.rows[name].measured or self.rows[name].live] or listed

    @property
    def listed(self) -> list[str]:
        """Names of the runs that are neither archived nor deleted; of all runs if there is no such run."""
        return [name for name, card in self.cards.items() if card.listed] or list(self.rows)

    def title(self, name: str) -> str:
        """Returns what the pages call a run: the title on its card, or its name."""
        card = self.cards.get(name)
        return card.title or name if card is not None else name


class Shelves:
    """Makes the shelf of a folder at each look. All viewers share it. It may be used from several threads."""

    def __init__(self, folder: Path) -> None:
        self._library = RunLibrary(folder)
        self._lock = threading.RLock()
        self._rows: dict[str, tuple[FoundRun, Overview | RunError]] = {}
        self._found: dict[str, FoundRun | RunError] = {}
        self._shelf: Shelf | None = None
        self._made_so_far = 0

    def look(self, seconds: float | None = None, *, now: bool = False) -> Shelf:
        """Returns the runs as they are now.

        Args:
            seconds: Runs whose rows are not kept beside them are read for at most this long; the others wait. None: all are
                read.
            now: Look even if somebody has looked a moment ago.

        Raises:
            RunError: The folder cannot be read.
        """
        with self._lock:
            found = self._library.look(now=now)
            until = float("inf") if seconds is None else time.monotonic() + seconds
            rows: dict[str, tuple[FoundRun, Overview | RunError]] = {}
            waiting = made = 0
            for name, run in found.items():
                if isinstance(run, FoundRun):
                    row = self._row(name, run)
                    # One run is read at each look, however long it takes.
                    if row is None and (time.monotonic() <= until or not made):
                        row = run, made_overview(run.path, run.stamp)
                        made += 1
                    if row is None:
                        waiting += 1
                    else:
                        rows[name] = row
            before, self._rows = self._rows, rows
            if self._shelf is None or found is not self._found or not _same(rows, before):
                self._found = found
                self._shelf = self._made(found, waiting)
            return self._shelf

    def _row(self, name: str, run: FoundRun) -> tuple[FoundRun, Overview | RunError] | None:
        """Returns the row of a run, with the run that it is about; None if it is neither known nor kept beside the run."""
        known = self._rows.get(name)
        if known is not None and known[0] is run and not (isinstance(known[1], Overview) and known[1].live):
            return known
        if known is not None and isinstance(known[1], Overview) and known[1].live:
            row = self._live(name, known[1])
            return known if row is known[1] and known[0] is run else (run, row)
        kept = kept_overview(run.path, run.stamp)
        return None if kept is None else (run, kept)

    def _live(self, name: str, known: Overview) -> Overview | RunError:
        """Returns the row of a run that was live at the last look."""
        try:
            run = self._library.open(name)
            same = run.meta.started == known.started and run.status.live
            if not (same and known.measured <= len(run) <= GROWN * known.measured):
                return overview(run)
            quick = {
                "measured": len(run),
                "steps": training_steps(run),
                "accuracy": last_accuracy(run),
                "incomplete": tuple(incomplete_texts(run)),
            }
            return (
                known if repr(quick) == repr({key: getattr(known, key) for key in quick}) else replace(known, **quick)
            )
        except RunError as error:
            return error
        except Exception as error:  # the other runs are still shown
            return RunError(f"it cannot be shown: {in_one_line(error)}")

    def _made(self, found: dict[str, FoundRun | RunError], waiting: int) -> Shelf:
        self._made_so_far += 1
        rows = {name: row for name, (_, row) in self._rows.items() if isinstance(row, Overview)}
        rows = dict(sorted(rows.items(), key=lambda item: (not item[1].live, -_started(item[1]), item[0])))
        broken = {name: str(error) for name, error in found.items() if isinstance(error, RunError)}
        broken |= {name: str(row) for name, (_, row) in self._rows.items() if isinstance(row, RunError)}
        runs = OpenedRuns(self._library, {name: self._rows[name][0].path for name in rows})
        cards = {name: self._rows[name][0].card for name in rows}
        return Shelf(self._library.folder, rows, runs, cards, broken, waiting, self._made_so_far)


def _started(row: Overview) -> float:
    return row.started if row.started >= 0 else 0.0


def _same(
    rows: Mapping[str, tuple[FoundRun, Overview | RunError]], before: Mapping[str, tuple[FoundRun, Overview | RunError]]
) -> bool:
    return len(rows) == len(before) and all(row is before.get(name) for name, row in rows.items())
