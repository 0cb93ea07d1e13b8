"""A regular part of a segment: messages of one kind that follow each other."""

from __future__ import annotations

from dataclasses import dataclass

from gradlens.runlog.reading.arrow_stream import Kind


@dataclass
class Block:
    """``count`` messages of one kind in a row, the first of them at ``start`` and holding the segment's row ``first``.

    ``sound`` says of each whether its layers are what was written; None where they were not checked.
    """

    kind: Kind
    start: int
    count: int
    first: int
    sound: list[bool | None]

    @property
    def stop(self) -> int:
        """The segment's row behind the last one."""
        return self.first + self.count * self.kind.rows
