"""The command ``gradlens ls``."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from pathlib import Path

from gradlens.analysis.kept_overview import overviews
from gradlens.analysis.run_query import ListedRun, matching, sorted_by, with_cards
from gradlens.reports.lines import in_color, terminal_width, write
from gradlens.reports.listing import newest_first, runs_text
from gradlens.runlog.errors import RunError

# Python's collector looks at young objects after so many new ones.
COLLECTED_AFTER = 100_000


def print_runs(
    folder: Path,
    filters: Sequence[str] = (),
    sort: str | None = None,
    *,
    everything: bool = False,
    as_json: bool = False,
) -> None:
    """Prints the list of the runs in or below a folder.

    Args:
        folder: The folder.
        filters: Words and conditions of ``gradlens.analysis.run_query``. With one, folders that cannot be read are left out.
        sort: Field to sort by, "-" before it puts the largest first; None = growing runs first, then the newest.
        everything: True to list archived and deleted runs, too.
        as_json: True to print JSON.

    Raises:
        RunError: The folder cannot be read.
        QueryError: A condition or the field to sort by is not understood.
    """
    # The rows of all runs are kept until the end. A collector that looks at them again and again takes a quarter of the time.
    gc.set_threshold(COLLECTED_AFTER)
    runs, broken = with_cards(overviews(folder))
    listed = runs if everything else [run for run in runs if run.card.listed]
    shown = matching(listed, filters)
    shown = newest_first(shown) if sort is None else sorted_by(shown, sort)
    broken = {} if filters else broken
    if as_json:
        write(_json(shown, broken))
    else:
        hidden = len(runs) - len(listed)
        write(runs_text(shown, broken, width=terminal_width(), hidden=hidden, color=in_color()))


def _json(runs: Sequence[ListedRun], broken: Mapping[Path, RunError]) -> str:
    from gradlens.reports.listing_json import runs_json
    from gradlens.runlog.format.strict_json import dumps

    return dumps(runs_json(runs, broken), indent=2) + "\n"
