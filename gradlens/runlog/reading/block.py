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


def extended(blocks: list[Block], kind: Kind, start: int, count: int) -> Block:
    """Adds messages of one kind that begin at byte ``start``, and returns their block: the last one or a new one."""
    block = blocks[-1] if blocks else None
    if block is None or block.kind is not kind or block.start + block.count * kind.size != start:
        block = Block(kind, start, 0, block.stop if block else 0, [])
        blocks.append(block)
    block.count += count
    block.sound += [None] * count
    return block


def shortened(blocks: list[Block]) -> int:
    """Removes the last message, and returns how many rows it held."""
    block = blocks[-1]
    block.count -= 1
    block.sound.pop()
    if not block.count:
        blocks.pop()
    return block.kind.rows
