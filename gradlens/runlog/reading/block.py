"""Block: a regular part of a segment, made of messages of one kind that follow each other directly."""

from __future__ import annotations

from dataclasses import dataclass

from gradlens.runlog.reading.arrow_stream import BatchLayout


@dataclass
class Block:
    """Messages of one kind in a row.

    Attributes:
        kind: Their kind.
        start: First byte of the first message.
        count: Number of messages.
        first: Number of the first row in the segment.
        sound: [count] whether the layers of each message are undamaged; None if they were not checked.
    """

    kind: BatchLayout
    start: int
    count: int
    first: int
    sound: list[bool | None]

    @property
    def stop(self) -> int:
        """Number of the row after the last one."""
        return self.first + self.count * self.kind.rows


def extended(blocks: list[Block], kind: BatchLayout, start: int, count: int) -> Block:
    """Adds ``count`` messages of one kind that begin at byte ``start``. Returns their block: the last one, or a new one."""
    block = blocks[-1] if blocks else None
    if block is None or block.kind is not kind or block.start + block.count * kind.size != start:
        block = Block(kind, start, 0, block.stop if block else 0, [])
        blocks.append(block)
    block.count += count
    block.sound += [None] * count
    return block


def shortened(blocks: list[Block]) -> int:
    """Removes the last message. Returns its number of rows."""
    block = blocks[-1]
    block.count -= 1
    block.sound.pop()
    if not block.count:
        blocks.pop()
    return block.kind.rows
