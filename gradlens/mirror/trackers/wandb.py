"""Weights & Biases: a run in W&B. It is written offline, into the run's folder, unless WANDB_MODE says otherwise."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gradlens.mirror.destination import Point

PACKAGE = "wandb"
PROJECT = "gradlens"
# The axis of all series. W&B's own count of steps cannot go back, and belongs to the user's training in a run of theirs.
STEP = "gradlens/step"
# A file of W&B: a head, then blocks with records, which have a head of checksum, length and kind.
HEAD, BLOCK, RECORD_HEAD = 7, 32768, 7


class WandbMirror:
    """Writes into a run of W&B: one of its own, or the user's.

    Attributes:
        place: The run's id in W&B.
        keeps: False: a process of W&B's own takes the points, and writes them later.
    """

    def __init__(self, folder: Path, name: str, key: str, own: str | None) -> None:
        """Keeps its arguments. The first write begins the run in W&B.

        Args:
            folder: The folder of the run; W&B's files go below it.
            name: The run's name.
            key: The run's id, from which the id in W&B is made.
            own: Id of the user's run in W&B; None = a run of its own.

        Raises:
            ImportError: W&B is not installed.
        """
        import wandb

        self._wandb, self._folder, self._name = wandb, folder, name
        self._id = f"gradlens-{key}" if own is None else own
        self.place, self.keeps = f"W&B, run {self._id}", False
        self._mode = os.environ.get("WANDB_MODE", "offline")
        self._own = own is None
        self._run: Any = None

    def already(self, since: int) -> set[tuple[int, str]]:
        """Returns (step, name) of the points in W&B's files of the run."""
        found = set()
        for path in sorted(self._folder.glob(f"wandb/*run-*-{self._id}/run-{self._id}.wandb")):
            for values in history(path):
                step = values.get(STEP)
                if isinstance(step, (int, float)) and step >= since:
                    found |= {(int(step), name) for name in values}
        return found

    def named(self, name: str) -> str:
        """Returns the name as it is."""
        return name

    def write(self, points: Sequence[Point]) -> None:
        """Hands points to W&B."""
        if self._run is None:
            self._run = self._begin()
        for point in points:
            self._run.log({STEP: point.step, "gradlens/time": point.time, **point.values})

    def supersede(self, step: int) -> bool:  # noqa: ARG002
        """Returns False: W&B keeps every value."""
        return False

    def close(self, *, over: bool) -> None:  # noqa: ARG002
        """Waits until W&B has written everything."""
        if self._run is not None:
            self._run.finish()
            self._wandb.teardown()  # ``finish`` may return before W&B's own process has written its file
            self._run = None

    def _begin(self) -> Any:
        quiet = self._wandb.Settings(
            console="off", silent=True, x_disable_stats=True, disable_git=True, save_code=False
        )
        run = self._wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=self._id,
            name=self._name if self._own else None,
            dir=str(self._folder),
            mode=self._mode,
            resume=None if self._mode == "offline" else "allow",
            settings=quiet,
        )
        run.define_metric(STEP, hidden=True)
        for names in ("gradlens/*", "gradlens-logged/*", "gradlens-evaluation/*"):
            run.define_metric(names, step_metric=STEP)
        return run


def history(path: Path) -> Iterator[dict[str, Any]]:
    """Yields the values of each step that a file of W&B holds. The file may be cut off at any place."""
    from wandb.proto.wandb_internal_pb2 import Record

    for data in _records(path.read_bytes()):
        record = Record()
        record.ParseFromString(data)
        if record.HasField("history"):
            yield {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}


def _records(data: bytes) -> Iterator[bytes]:
    """Yields the records of a file; a record may lie in several blocks."""
    place, record = HEAD, b""
    while place + RECORD_HEAD <= len(data):
        left = BLOCK - place % BLOCK
        if left < RECORD_HEAD:  # the end of a block is filled up
            place += left
            continue
        length, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        place += RECORD_HEAD
        if place + length > len(data):
            return
        record += data[place : place + length]
        place += length
        if kind in (1, 4):  # whole, or the last part
            yield record
            record = b""
