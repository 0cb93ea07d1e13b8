"""One measurements-NNN.arrows, read through a memory map, again and again as it grows.

Batches of one kind that follow each other form one regular block of the file, from which a column is read with a single strided
copy.
"""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradlens.runlog.errors import RunError
from gradlens.runlog.messages import Kind, Messages
from gradlens.runlog.schema import Layout

MOST_MAPPED = 64 << 20


@dataclass
class _Block:
    """``count`` messages of one kind in a row, the first of them at ``start`` and holding the segment's row ``first``."""

    kind: Kind
    start: int
    count: int
    first: int

    @property
    def stop(self) -> int:
        return self.first + self.count * self.kind.rows


class Segment:
    """The rows of one segment.

    Attributes:
        path: The file.
        layout: What its rows hold; None until its schema is written.
        description: The copy of run.json in the schema.
        rows: Number of readable rows.
        first_step: Step of the first row, or None.
        problems: What could not be read and why, one text each.
        generation: How often rows that were there have been taken back.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[str] = []
        self.generation = 0
        self._start_over()

    def _start_over(self) -> None:
        self.layout: Layout | None = None
        self.description: dict[str, Any] = {}
        self.rows = 0
        self.first_step: int | None = None
        self._messages = Messages()
        self._blocks: list[_Block] = []
        self._end = 0
        self._last_steps = (-1, -1)  # of the last two rows
        self._broken = False
        self._touched = 0

    @property
    def unread(self) -> int:
        """Bytes at the end that hold no complete batch; 0 where the stream has ended properly."""
        return 0 if self._messages.ends(self._end) else self._messages.size - self._end

    def refresh(self) -> int:
        """Looks for complete batches behind the known ones; returns how many rows were added (below 0: some are gone).

        Raises:
            RunTooNew: A later schema version.
            NotARun: A file that gradlens did not write.
        """
        before = self.rows
        try:
            with open(self.path, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size < self._messages.size:
                    # Nothing of gradlens does this, and to touch what was mapped of the lost end would be fatal.
                    self.problems.append(f"{self.path.name} was cut to {size} bytes by another program")
                    self.generation += 1
                    self._start_over()
                if self._broken or size <= self._messages.size:
                    return self.rows - before
                self._messages.show(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ), size)
        except OSError:
            return 0  # vanished or unreadable for now; what is mapped already stays readable
        if self.layout is None:
            self._read_schema()
        if self.layout is not None:
            while self._step_over(self.layout):
                pass
            self._release(size - self._end)
        return self.rows - before

    def read(self, column: str, start: int, stop: int, layer: int | None = None) -> NDArray[Any]:
        """Returns rows ``start`` to ``stop`` of a column as a copy, [n, ...]; ``layer`` picks one of [n, L, P]."""
        assert self.layout is not None
        dtype, shape = self.layout.widths[column]
        out = np.empty((stop - start, *(shape if layer is None else shape[1:])), dtype=dtype)
        for block in self._blocks:
            low, high = max(start, block.first), min(stop, block.stop)
            if low >= high:
                continue
            n = block.kind.rows
            first, last = (low - block.first) // n, -(-(high - block.first) // n)
            view = self._view(block, column, layer)[first:last]
            skip = low - block.first - first * n
            out[low - start : high - start] = view.reshape(-1, *out.shape[1:])[skip : skip + high - low]
            self._release((last - first) * block.kind.size)
        return out

    def take(self, column: str, rows: NDArray[np.intp], layer: int | None = None) -> NDArray[Any]:
        """Returns the given rows (ascending) of a column as a copy, [n, ...]."""
        assert self.layout is not None
        dtype, shape = self.layout.widths[column]
        out = np.empty((len(rows), *(shape if layer is None else shape[1:])), dtype=dtype)
        for block in self._blocks:
            low, high = np.searchsorted(rows, (block.first, block.stop))
            if low < high:
                inside = rows[low:high] - block.first
                out[low:high] = self._view(block, column, layer)[inside // block.kind.rows, inside % block.kind.rows]
        return out

    def rows_before(self, step: int) -> int:
        """Returns how many rows have a smaller step: found by halving, for a live run asks at every look."""
        low, high = 0, self.rows
        while low < high:
            middle = (low + high) // 2
            if self.read("step", middle, middle + 1)[0] < step:
                low = middle + 1
            else:
                high = middle
        return low

    def _view(self, block: _Block, column: str, layer: int | None) -> NDArray[Any]:
        assert self.layout is not None
        assert self._messages.map is not None
        dtype, shape = self.layout.widths[column]
        inner = [np.dtype(dtype).itemsize]
        for length in reversed(shape):
            inner.insert(0, inner[0] * length)
        view: NDArray[Any] = np.ndarray(
            (block.count, block.kind.rows, *shape),
            dtype=dtype,
            buffer=self._messages.map,
            offset=block.start + block.kind.starts[column],
            strides=(block.kind.size, *inner),
        )
        return view if layer is None else view[:, :, layer]

    def _release(self, touched: int) -> None:
        """Lets go of mapped pages from time to time: they stay cached, but do not count as this process's memory."""
        self._touched += touched
        if self._touched > MOST_MAPPED and self._messages.map is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._messages.map.madvise(mmap.MADV_DONTNEED)
            self._touched = 0

    def _read_schema(self) -> None:
        try:
            end = self._messages.read_schema()
            if end is not None:
                self.layout, self.description = Layout.from_schema(self._messages.schema, self.path)
                self._end = end
        except RunError:
            self._broken = True
            raise
        except (KeyError, TypeError, ValueError) as error:
            self._broken = True
            self.problems.append(f"{self.path.name} cannot be read, its beginning is damaged ({error})")

    def _step_over(self, layout: Layout) -> bool:
        """Indexes the message at the end of what is known; False if there is no complete one."""
        if self._messages.ends(self._end):
            return False
        kind = self._messages.batch(self._end, layout)
        if kind is None:
            # Without a readable batch behind it, this is a write that did not finish (yet).
            at = self._messages.next_batch(self._end, layout)
            if at is not None:
                self.problems.append(
                    f"{self.path.name}: {at - self._end} bytes from byte {self._end} on are damaged and left out"
                )
                self._end = at
            return at is not None
        self._add(kind)
        self._end += kind.size
        self._release(kind.size)
        return True

    def _add(self, kind: Kind) -> None:
        """Indexes the complete batch at ``_end``. Written steps always grow: where they do not, something is damaged."""
        assert self._messages.map is not None
        steps = np.frombuffer(self._messages.map, "<i8", kind.rows, self._end + kind.starts["step"])
        if not kind.rows:
            return
        earlier, last = self._last_steps
        first = int(steps[0])
        if not (steps[1:] > steps[:-1]).all() or first <= earlier:
            self._leave_out(kind.rows)
            return
        if first <= last:  # only the very last step before is in the way, so it is that one which is wrong
            self._leave_out(self._blocks[-1].kind.rows)
            self._take_back()
        if self.first_step is None:
            self.first_step = first
        self._last_steps = (int(steps[-2]) if kind.rows > 1 else self._last_steps[1], int(steps[-1]))
        block = self._blocks[-1] if self._blocks else None
        if block is not None and block.kind is kind and block.start + block.count * kind.size == self._end:
            block.count += 1
        else:
            self._blocks.append(_Block(kind, self._end, 1, self.rows))
        self.rows += kind.rows

    def _take_back(self) -> None:
        """Removes the last batch from the index."""
        block = self._blocks[-1]
        block.count -= 1
        self.rows -= block.kind.rows
        self.generation += 1
        if not block.count:
            self._blocks.pop()
        if not self._blocks:
            self.first_step = None
        kept = self.read("step", max(self.rows - 2, 0), self.rows)
        self._last_steps = (int(kept[-2]) if len(kept) > 1 else -1, int(kept[-1]) if len(kept) else -1)

    def _leave_out(self, rows: int) -> None:
        self.problems.append(f"{self.path.name}: {rows} rows before byte {self._end} or there are damaged and left out")
