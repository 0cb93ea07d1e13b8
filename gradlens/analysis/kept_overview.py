"""Rows of runs, kept beside the runs, so that a run that is over is read once and not at every look.

A row is kept only of a run that is over and about which there is nothing to warn: a damaged run is read anew at every look. A
kept row counts as long as the files of the run have the same stamp (``gradlens.runlog.format.run_stamp``).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from gradlens.analysis.row import Overview, from_json, to_json
from gradlens.guards.error_text import in_one_line
from gradlens.runlog.errors import RunError
from gradlens.runlog.format.kept_summary import read_summary, write_summary
from gradlens.runlog.format.run_stamp import Stamp, stamp_of
from gradlens.runlog.reading.folders import run_folders
from gradlens.runlog.reading.status import LastWritten, status_of

if TYPE_CHECKING:
    from gradlens.runlog.reading.reader import Run

# Goes up when a row gets other facts, other words, or numbers that are computed in another way (a test notices).
VERSION = "6"
# File systems note times in ticks of up to 10 ms. A file that was written twice within a tick may have the same stamp twice.
TICK_SECONDS = 0.02
# Reading a larger run may take more than some milliseconds. This is left to whoever lists it.
MOST_BYTES_AT_CLOSE = 16 << 20


def overviews(folder: str | os.PathLike[str]) -> list[tuple[Path, Overview | RunError]]:
    """Returns (path, row) of every run in or below ``folder``, in the order of the paths, as ``list_runs`` finds them.

    For a run that cannot be read or shown, and for a folder that cannot be searched, there is an error instead of the row.

    Raises:
        RunError: ``folder`` is no folder that can be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise RunError(f"{folder} is no folder; give the folder that holds the runs")
    unread: dict[Path, RunError] = {}
    rows = [(path, overview_at(path, content.files)) for path, content in run_folders(folder, unread=unread).items()]
    return [*rows, *unread.items()]


def overview_at(path: Path, files: Iterable[str] | None = None) -> Overview | RunError:
    """Returns the row of the run in a folder, as kept or computed; the reason if it cannot be read or shown.

    Args:
        path: The folder.
        files: Names of the run's files, if they are known.
    """
    stamp = stamp_of(path, files)
    kept = None if stamp is None else kept_overview(path, stamp)
    return made_overview(path, stamp) if kept is None else kept


def kept_overview(path: Path, stamp: Stamp) -> Overview | None:
    """Returns the row that is kept beside a run; None if there is none of these files, or if the run is live.

    Args:
        path: The run's folder.
        stamp: Its stamp now.
    """
    facts = read_summary(path, VERSION, stamp)
    if facts is None:
        return None
    try:
        status = status_of(path, LastWritten.from_json(facts["written"]))
        return None if status.live else from_json(facts["row"], status.state, status.reason or "")
    except (KeyError, ValueError):
        return None


def made_overview(path: Path, stamp: Stamp | None) -> Overview | RunError:
    """Returns the row of a run, computed from its files, and keeps it beside the run; the reason if that cannot be done.

    Args:
        path: The run's folder.
        stamp: Its stamp before; None: nothing is kept.
    """
    # Imported here, since they take longer than listing a thousand runs whose rows are kept.
    from gradlens.analysis.overview import overview
    from gradlens.runlog.reading.reader import Run

    try:
        run = Run(path)
        row = overview(run)
    except RunError as error:
        return error
    except Exception as error:  # the other runs are still shown
        return RunError(f"it cannot be shown: {in_one_line(error)}")
    if stamp is not None:
        keep(run, row, stamp)
    return row


def keep(run: Run, row: Overview, stamp: Stamp) -> None:
    """Keeps the row of a run that is over and sound. If it cannot be written, nothing is kept.

    Args:
        run: The run.
        row: Its row.
        stamp: Its stamp before it was opened.
    """
    if row.live or run.warnings or time.time_ns() - _latest(stamp) < 1e9 * TICK_SECONDS or stamp_of(run.path) != stamp:
        return
    write_summary(run.path, VERSION, stamp, {"written": list(LastWritten.of(run.meta)), "row": to_json(row)})


def keep_at_close(path: Path) -> None:
    """Keeps the row of a run that was just closed, if it is not large. It never raises an error: the row only saves time."""
    with contextlib.suppress(Exception):
        time.sleep(1.5 * TICK_SECONDS)
        stamp = stamp_of(path)
        if stamp is not None and sum(size for size, *_ in stamp.values()) <= MOST_BYTES_AT_CLOSE:
            made_overview(path, stamp)


def _latest(stamp: Stamp) -> int:
    return max((max(times) for _, *times in stamp.values()), default=0)
