"""Finds the rows of a run that are in force. A resumed session supersedes rows of earlier sessions from its step on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gradlens.runlog.format.names import place_of
from gradlens.runlog.reading.segment import Segment


@dataclass
class SegmentRows:
    """The rows of a segment that no later segment supersedes.

    Attributes:
        segment: The segment.
        first: Number of its first row in the run.
        rows: Number of its first rows that are in force.
    """

    segment: Segment
    first: int
    rows: int


def rows_in_force(segments: Sequence[Segment], resumed: Mapping[int, int | None]) -> list[SegmentRows]:
    """Returns the rows of a run that no later session supersedes, in the order of their steps.

    Args:
        segments: The run's own segments that have rows, in their order.
        resumed: Number of a session -> the step at which its event says that it resumed.
    """
    said_by = dict(resumed)
    kept: list[tuple[int, SegmentRows]] = []
    for segment in segments:
        if segment.first_step is None or segment.layout is None:
            continue
        # A session says where it resumed; the first step that it measures may come later.
        said = said_by.pop(segment.layout.session, None)
        start = segment.first_step if said is None else min(said, segment.first_step)
        while kept and kept[-1][0] >= start:
            kept.pop()
        if kept:
            kept[-1][1].rows = kept[-1][1].segment.rows_before(start)
        kept.append((segment.first_step, SegmentRows(segment, 0, segment.rows)))
    first = 0
    found = [rows for _, rows in kept]
    for rows in found:
        rows.first = first
        first += rows.rows
    return found


def prolonged(before: list[SegmentRows], after: list[SegmentRows]) -> bool:
    """Says whether all rows of ``before`` are at the same place in ``after``. Only the last segment may have grown."""
    if len(after) < len(before):
        return False
    pairs = list(zip(before, after, strict=False))
    same = all(old.segment is new.segment and old.first == new.first for old, new in pairs)
    return same and all(o.rows == n.rows for o, n in pairs[:-1]) and all(o.rows <= n.rows for o, n in pairs[-1:])


def place_in_run(segment: Segment) -> int:
    """Returns a segment's number in its run, from its schema; in files of earlier versions from the file's name."""
    place = None if segment.origin is None else segment.origin.place
    return place_of(segment.path) if place is None else place
