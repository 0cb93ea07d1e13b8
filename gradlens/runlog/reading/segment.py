"""Segment: reads one file measurements-NNN.arrows, as it grows.

Batches of one kind that follow each other form a regular block of the file. In a block, the place of any value can be computed.
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradlens.runlog.errors import RunError
from gradlens.runlog.format.proof import BatchProof
from gradlens.runlog.format.regular import reason
from gradlens.runlog.format.schema import Origin, RowLayout
from gradlens.runlog.reading.arrow_stream import BatchLayout, Messages
from gradlens.runlog.reading.block import Block, extended, shortened
from gradlens.runlog.reading.growing import FileChangedError, GrowingFile

# At most this many bytes of layers are checked when the file is opened; the others when they are read.
CHECKED_AT_ONCE = 8 << 20
STEP = struct.Struct("<q")


class Segment:
    """The rows of one segment.

    Attributes:
        path: The file.
        layout: The columns of its rows; None until its schema is written.
        origin: The run, the place and the copy of run.json in the schema; None until it is written.
        rows: Number of readable rows.
        written: Number of rows up to the last readable one, with lost rows between them.
        digest: Checksum of the proofs of all batches.
        proven: Whether its schema and all its rows have checksums.
        first_step: Step of the first row, or None.
        problems: A text for each thing that cannot be read.
        unopened: Why the file could not be opened at the last look; None if it could.
        generation: How often rows that were readable before have been removed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[str] = []
        self.unopened: str | None = None
        self._file = GrowingFile(path)
        self.generation = 0
        self._start_over()

    def _start_over(self) -> None:
        self.layout: RowLayout | None = None
        self.origin: Origin | None = None
        self.rows = self.written = self.digest = 0
        self.first_step: int | None = None
        self._messages = Messages(self._file)
        self._blocks: list[Block] = []
        self._end = 0
        self._last_steps = (-1, -1)  # of the last two rows
        self._broken = False
        self._checked = 0

    @property
    def proven(self) -> bool:
        """Whether its schema and all its rows have checksums."""
        return self._messages.proven

    @property
    def unread(self) -> int:
        """Number of bytes at the end that are no complete batch; 0 if the stream has ended properly."""
        return 0 if self._messages.ends(self._end) else self._messages.size - self._end

    def refresh(self) -> int:
        """Looks for complete batches after the known ones. Returns how many rows were added (below 0: some are gone).

        Raises:
            RunTooNew: The file has a later schema version.
            NotARun: gradlens did not write the file.
        """
        before, known = self.rows, self._file.size
        self.unopened = None
        try:
            size = self._file.look()
            if size < known:
                # Nothing of gradlens does this.
                self.problems.append(f"{self.path.name} was cut to {size} bytes by another program")
                self._forget()
                known, size = 0, self._file.look()
        except FileNotFoundError:
            return self.rows - before  # the file is gone; the open file can still be read
        except OSError as error:
            self.unopened = f"{self.path.name} cannot be read: {reason(error)}"
            return self.rows - before
        if self._broken or size <= known:
            return self.rows - before
        try:
            self._index()
        except FileChangedError as error:  # it may be written again at this moment; the next look will see it
            self.unopened = str(error)
            self._forget()
        return self.rows - before

    def _index(self) -> None:
        if self.layout is None:
            self._read_schema()
        if self.layout is not None:
            while self._step_over(self.layout):
                pass

    def _forget(self) -> None:
        self.generation += 1
        self._file.forget()
        self._start_over()

    def read(self, column: str, start: int, stop: int, layer: int | None = None) -> NDArray[Any]:
        """Returns a copy of rows ``start`` to ``stop`` of a column, [n, ...]; ``layer`` picks one of [n, L, P]."""
        assert self.layout is not None
        dtype, shape = self.layout.widths[column]
        out = np.empty((stop - start, *(shape if layer is None else shape[1:])), dtype=dtype)
        for block in self._blocks:
            low, high, n = max(start, block.first), min(stop, block.stop), block.kind.rows
            for first in range(low - (low - block.first) % n, high, n):
                rows = slice(max(low, first), min(high, first + n))
                self._copy(block, column, rows, layer, out[rows.start - start : rows.stop - start])
        return out

    def take(self, column: str, rows: NDArray[np.intp], layer: int | None = None) -> NDArray[Any]:
        """Returns a copy of the given rows (ascending) of a column, [n, ...]; ``layer`` picks one of [n, L, P]."""
        assert self.layout is not None
        dtype, shape = self.layout.widths[column]
        out = np.empty((len(rows), *(shape if layer is None else shape[1:])), dtype=dtype)
        for block in self._blocks:
            for at in range(*np.searchsorted(rows, (block.first, block.stop))):
                row = int(rows[at])
                self._copy(block, column, slice(row, row + 1), layer, out[at : at + 1])
        return out

    def rows_before(self, step: int) -> int:
        """Returns the number of rows with a smaller step. It uses bisection, because it is called at every look."""
        low, high = 0, self.rows
        while low < high:
            middle = (low + high) // 2
            if self.read("step", middle, middle + 1)[0] < step:
                low = middle + 1
            else:
                high = middle
        return low

    def _copy(self, block: Block, column: str, rows: slice, layer: int | None, out: NDArray[Any]) -> None:
        """Copies rows of one batch into ``out``. Layers that are damaged become NaN."""
        assert self.layout is not None
        kind = block.kind
        index, first = divmod(rows.start - block.first, kind.rows)
        dtype, shape = self.layout.widths[column]
        if column == "layers" and self.proven and not block.sound[index]:
            checked = self._check_layers(block, index)
            whole = None if checked is None else np.frombuffer(checked, dtype).reshape(kind.rows, *shape)
            out[...] = (
                np.nan if whole is None else whole[first : first + len(out), slice(None) if layer is None else layer]
            )
            return
        at = block.start + index * kind.size + kind.starts[column] + first * np.dtype(dtype).itemsize * math.prod(shape)
        if layer is None:
            self._file.fill(at, out)
        else:
            several = np.empty((len(out), *shape), dtype=dtype)
            self._file.fill(at, several)
            out[...] = several[:, layer]

    def _check_layers(self, block: Block, index: int) -> bytes | None:
        """Returns the layers of one batch of a block. If they are damaged, adds a problem once, and returns None."""
        found = None
        if block.sound[index] is not False:
            found = self._messages.layers(block.start + index * block.kind.size, block.kind)
            block.sound[index] = found is not None
            if found is None:
                first = block.first + index * block.kind.rows
                self.problems.append(
                    f"{self.path.name}: the layers of rows {first} to {first + block.kind.rows - 1} are damaged and shown "
                    "as missing"
                )
        return found

    def _read_schema(self) -> None:
        try:
            found = self._messages.read_schema()
            if found is not None:
                self._end, intact = found
                self.layout, self.origin = RowLayout.from_schema(self._messages.schema, self.path)
                self._messages.seed, self._messages.proven = self.origin.seed, self.origin.place is not None
                if intact is False or (self.proven and not intact):
                    # The checksums of the rows also cover the description of the rows, but not the copy of run.json.
                    self.origin = replace(self.origin, description={})
                    self.problems.append(
                        f"{self.path.name}: its beginning is damaged; the rows that prove themselves are read"
                    )
        except RunError:
            self._broken = True
            raise
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            self._broken = True
            self.problems.append(f"{self.path.name} cannot be read, its beginning is damaged ({error})")

    def _step_over(self, layout: RowLayout) -> bool:
        """Indexes the messages after the known ones. Returns False if there is no complete one."""
        found = self._messages.batch(self._end, layout)
        if found is None:
            # If no readable batch follows, this is the end, or a write that is not finished.
            ended = self._messages.ends(self._end)
            at = None if ended else self._messages.next_batch(self._end, layout)
            if at is not None:
                if not self.proven:  # else the next batch's number tells which rows are missing
                    self.problems.append(
                        f"{self.path.name}: {at - self._end} bytes from byte {self._end} on are damaged and left out"
                    )
                self._end = at
            return at is not None
        kind, proof = found
        count = 1
        if proof is None:
            self._add_unproven(kind)
        elif self._in_place(kind, proof):
            following = self._messages.following(self._end + kind.size, kind, proof)
            count += len(following)
            self._add(kind, count)
            self.digest = zlib.crc32(b"".join(following), self.digest)
            self.written += len(following) * kind.rows
        self._end += count * kind.size
        return True

    def _in_place(self, kind: BatchLayout, proof: BatchProof) -> bool:
        """Says whether an undamaged batch holds rows after the known ones. If rows between are missing, adds a problem."""
        if proof.row < self.written:
            self.problems.append(
                f"{self.path.name}: rows {proof.row} to {proof.row + kind.rows - 1} stand at a wrong place and are left out"
            )
            return False
        if proof.row > self.written:
            self.problems.append(
                f"{self.path.name}: rows {self.written} to {proof.row - 1} are missing or damaged and left out"
            )
        self.digest = zlib.crc32(proof.text, self.digest)
        self.written = proof.row + kind.rows
        return True

    def _add(self, kind: BatchLayout, count: int = 1) -> None:
        """Indexes the complete batches of one kind that begin at ``_end``."""
        if not kind.rows:
            return
        if self.first_step is None:
            self.first_step = STEP.unpack(self._file.read(self._end + kind.starts["step"], STEP.size))[0]
        block = extended(self._blocks, kind, self._end, count)
        self.rows += count * kind.rows
        layers = kind.layers[1] - kind.layers[0]
        if self.proven and layers:
            at_once = min(count, (CHECKED_AT_ONCE - self._checked) // layers)
            for index in range(block.count - count, block.count - count + at_once):
                self._check_layers(block, index)
            self._checked += count * layers

    def _add_unproven(self, kind: BatchLayout) -> None:
        """Indexes a batch without a proof. Written steps always grow; if they do not, something is damaged."""
        if not kind.rows:
            return
        steps = np.frombuffer(self._file.read(self._end + kind.starts["step"], 8 * kind.rows), "<i8")
        earlier, last = self._last_steps
        first = int(steps[0])
        if not (steps[1:] > steps[:-1]).all() or first <= earlier:
            self._leave_out(kind.rows)
            return
        if first <= last:  # only the last known step is too large, so it is the wrong one
            self._leave_out(self._blocks[-1].kind.rows)
            self._take_back()
        self._add(kind)
        self._last_steps = (int(steps[-2]) if kind.rows > 1 else self._last_steps[1], int(steps[-1]))
        self.written = self.rows

    def _take_back(self) -> None:
        """Removes the last batch from the index."""
        self.rows -= shortened(self._blocks)
        self.generation += 1
        if not self._blocks:
            self.first_step = None
        kept = self.read("step", max(self.rows - 2, 0), self.rows)
        self._last_steps = (int(kept[-2]) if len(kept) > 1 else -1, int(kept[-1]) if len(kept) else -1)

    def _leave_out(self, rows: int) -> None:
        self.problems.append(f"{self.path.name}: {rows} rows before byte {self._end} or there are damaged and left out")
