"""Reads a run's description: run.json or, if that is lost or damaged, the copy in a segment."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from gradlens.runlog.errors import RunError, RunTooNew
from gradlens.runlog.format.description import FILE, RunMeta, checked_meta
from gradlens.runlog.format.names import SEGMENTS
from gradlens.runlog.reading.segment import Segment

# The reason why a run has no known status, if its description is a copy and its process is gone.
UNKNOWN_END = f"how it ended stood in {FILE}"


def read_description(folder: Path) -> tuple[RunMeta, list[str]]:
    """Reads run.json or, if that is lost or damaged, the copy in the newest readable segment.

    Returns:
        The description, and a text for each thing that is wrong with it.

    Raises:
        NotARun: The folder holds no run.
        RunTooNew: The run has a later schema version.
        RunError: run.json is damaged, and there is no copy.
    """
    try:
        return checked_meta(folder)
    except RunTooNew:
        raise
    except RunError as error:
        try:
            names = sorted(name for name in os.listdir(folder) if SEGMENTS.fullmatch(name))
        except OSError:
            names = []
        for name in reversed(names):
            segment = Segment(folder / name)
            try:
                segment.refresh()
                meta = RunMeta.from_json(segment.origin.description if segment.origin else None, name)
            except RunTooNew:
                raise
            except RunError:
                continue
            # The copy is from the start of the segment: how the run ended is not in it.
            return replace(meta, status="running", reason=UNKNOWN_END), [
                f"{error} (facts about the run are taken from {name})"
            ]
        raise
