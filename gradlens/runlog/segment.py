"""One measurements-NNN.arrows, read through a memory map, again and again as it grows.

Batches of one kind that follow each other form one regular block of the file, from which a column is read with a single strided
copy.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradlens.runlog.errors import RunError
from gradlens.runlog.mapped import MappedFile
from gradlens.runlog.messages import Kind, Messages
from gradlens.runlog.proof import BatchProof
from gradlens.runlog.regular import reason
from gradlens.runlog.schema import Layout, Origin

MOST_MAPPED = 64 << 20
# Layers are checked when the file is opened where they are few, else when they are read.
CHECKED_AT_ONCE = 8 << 20
STEP = struct.Struct("<q")


@dataclass
class _Block:
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
        return self.first + self.count * self.kind.rows


class Segment:
    """The rows of one segment.

    Attributes:
        path: The file.
        layout: What its rows hold; None until its schema is written.
        origin: Run, place and the copy of run.json in the schema; None until it is written.
        rows: Number of readable rows.
        written: Number of rows up to the last readable one, those that were lost between them included.
        digest: Checksum of the proofs of all batches.
        proven: Whether its schema and all its rows carry checksums.
        first_step: Step of the first row, or None.
        problems: What could not be read and why, one text each.
        unopened: Why the file could not be opened when it was looked at last, or None.
        generation: How often rows that were there have been taken back.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[str] = []
        self.unopened: str | None = None
        self._file = MappedFile(path)
        self.generation = 0
        self._start_over()

    def _start_over(self) -> None:
        self.layout: Layout | None = None
        self.origin: Origin | None = None
        self.rows = self.written = self.digest = 0
        self.first_step: int | None = None
        self._messages = Messages(self._file)
        self._blocks: list[_Block] = []
        self._end = 0
        self._last_steps = (-1, -1)  # of the last two rows
        self._broken = False
        self._touched = self._checked = 0

    @property
    def proven(self) -> bool:
        """Whether its schema and all its rows carry checksums."""
        return self._messages.proven

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
        before, known = self.rows, self._file.size
        self.unopened = None
        try:
            size = self._file.look()
        except FileNotFoundError:
            return 0  # vanished: what is mapped already stays readable
        except OSError as error:
            self.unopened = f"{self.path.name} cannot be read: {reason(error)}"
            return 0
        if size < known:
            # Nothing of gradlens does this, and to touch what was mapped of the lost end would be fatal.
            self.problems.append(f"{self.path.name} was cut to {size} bytes by another program")
            self.generation += 1
            self._file.forget()
            self._start_over()
            known = 0
            self._file.look()
        if self._broken or size <= known:
            return self.rows - before
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
            if column == "layers" and self.proven:
                for index in self._unsound(block, range(first, last)):
                    at = block.first + index * n - start
                    out[max(at, 0) : max(at + n, 0)] = np.nan
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
                of = inside // block.kind.rows
                out[low:high] = self._view(block, column, layer)[of, inside % block.kind.rows]
                if column == "layers" and self.proven:
                    out[low:high][np.isin(of, self._unsound(block, np.unique(of).tolist()))] = np.nan
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
        dtype, shape = self.layout.widths[column]
        inner = [np.dtype(dtype).itemsize]
        for length in reversed(shape):
            inner.insert(0, inner[0] * length)
        view: NDArray[Any] = np.ndarray(
            (block.count, block.kind.rows, *shape),
            dtype=dtype,
            buffer=self._file.content(),
            offset=block.start + block.kind.starts[column],
            strides=(block.kind.size, *inner),
        )
        return view if layer is None else view[:, :, layer]

    def _unsound(self, block: _Block, batches: Iterable[int]) -> list[int]:
        """Returns which of a block's batches have layers that are not what was written; each is checked once."""
        found = []
        for index in batches:
            if block.sound[index] is None:
                at = block.start + index * block.kind.size
                block.sound[index] = sound = self._messages.layers_sound(at, block.kind)
                self._release(block.kind.size)
                if not sound:
                    first = block.first + index * block.kind.rows
                    self.problems.append(
                        f"{self.path.name}: the layers of rows {first} to {first + block.kind.rows - 1} are damaged and shown "
                        "as missing"
                    )
            if not block.sound[index]:
                found.append(index)
        return found

    def _release(self, touched: int) -> None:
        """Lets go of mapped pages from time to time."""
        self._touched += touched
        if self._touched > MOST_MAPPED:
            self._file.release()
            self._touched = 0

    def _read_schema(self) -> None:
        try:
            found = self._messages.read_schema()
            if found is not None:
                self._end, intact = found
                self.layout, self.origin = Layout.from_schema(self._messages.schema, self.path)
                self._messages.seed, self._messages.proven = self.origin.seed, self.origin.place is not None
                if intact is False or (self.proven and not intact):
                    # Its rows prove themselves, and what it says about them; the copy of run.json does not.
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

    def _step_over(self, layout: Layout) -> bool:
        """Indexes the message at the end of what is known; False if there is no complete one."""
        found = self._messages.batch(self._end, layout)
        if found is None:
            # Without a readable batch behind it, this is the end, or a write that did not finish (yet).
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
            following = self._messages.following(self._end + kind.size, kind, proof, MOST_MAPPED // kind.size)
            count += len(following)
            self._add(kind, count)
            self.digest = zlib.crc32(b"".join(following), self.digest)
            self.written += len(following) * kind.rows
        self._end += count * kind.size
        self._release(count * kind.size)
        return True

    def _in_place(self, kind: Kind, proof: BatchProof) -> bool:
        """Whether a sound batch holds the rows that come next, perhaps after some that are missing, which is noted."""
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

    def _add(self, kind: Kind, count: int = 1) -> None:
        """Indexes the complete batches of one kind that begin at ``_end``."""
        if not kind.rows:
            return
        if self.first_step is None:
            self.first_step = STEP.unpack_from(self._file.content(), self._end + kind.starts["step"])[0]
        block = self._blocks[-1] if self._blocks else None
        if block is None or block.kind is not kind or block.start + block.count * kind.size != self._end:
            block = _Block(kind, self._end, 0, self.rows, [])
            self._blocks.append(block)
        block.count += count
        block.sound += [None] * count
        self.rows += count * kind.rows
        layers = kind.layers[1] - kind.layers[0]
        if self.proven and layers:
            at_once = min(count, (CHECKED_AT_ONCE - self._checked) // layers)
            self._unsound(block, range(block.count - count, block.count - count + at_once))
            self._checked += count * layers

    def _add_unproven(self, kind: Kind) -> None:
        """Indexes a batch without a proof. Written steps always grow: where they do not, something is damaged."""
        steps = np.frombuffer(self._file.content(), "<i8", kind.rows, self._end + kind.starts["step"])
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
        self._add(kind)
        self._last_steps = (int(steps[-2]) if kind.rows > 1 else self._last_steps[1], int(steps[-1]))
        self.written = self.rows

    def _take_back(self) -> None:
        """Removes the last batch from the index."""
        block = self._blocks[-1]
        block.count -= 1
        block.sound.pop()
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
