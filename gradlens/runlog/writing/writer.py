"""RunWriter: writes the measurements of a training to disk, in a thread, so that the training never waits for the disk."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import time
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Self

from numpy.typing import ArrayLike

from gradlens.guards.error_text import ending
from gradlens.metrics.measurement import Measurement
from gradlens.runlog.errors import RunError, RunLogWarning
from gradlens.runlog.format.description import RunMeta
from gradlens.runlog.format.probes import probed
from gradlens.runlog.format.schema import RowLayout, pack
from gradlens.runlog.writing.append import BATCH_ROWS
from gradlens.runlog.writing.backlog import Backlog
from gradlens.runlog.writing.creation import claim
from gradlens.runlog.writing.row_layouts import RowLayouts

FLUSH_SECONDS = 1.0
# How long close() waits for the thread. A write may hang (a network disk that is gone); then the thread is left running.
JOIN_SECONDS = 30.0


class RunWriter:
    """Writes one run. It may be used from several threads.

    Rows are buffered. A daemon thread writes them every 64 rows or every second, so a killed process loses at most these. If the
    disk refuses later, there is one warning (RunLogWarning) and the write is tried again; the training goes on. In a forked
    child (a DataLoader worker) every method does nothing.

    Attributes:
        path: The run's folder.
        session: Number of the training's start, from 0.
    """

    def __init__(self, path: str | os.PathLike[str], meta: RunMeta, *, resume: bool = False) -> None:
        """Creates the folder and its run.json.

        Args:
            path: The run's folder, made with its parents.
            meta: The description of the run. Process, host, status and start time are filled in.
            resume: Continue the run in ``path``, if there is one. Its steps from the first new one on are superseded.

        Raises:
            RunExistsError: The folder is not empty and ``resume`` is False, or another process is still writing to it.
            RunError: The folder cannot be made or written, or the run to resume has other groups.
        """
        self.path = Path(path)
        meta, self.session = claim(self.path, meta, resume=resume)
        self._groups = tuple(meta.groups["groups"])
        self._layouts = RowLayouts(self._groups, meta.layer_names, self.session)
        self._backlog = Backlog(self.path, meta, self.session)
        self._pid = os.getpid()
        self._closed, self._warned, self._taken = False, False, 0
        self._lock = threading.RLock()  # a signal handler may close the run in the middle of append
        # Wakes the thread. An item that is not None gets an answer when everything is written. Not an Event: if a signal handler
        # closed the run inside Event.set(), it would wait for itself.
        self._wake: SimpleQueue[SimpleQueue[None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._flush_regularly, name="gradlens-runlog", daemon=True)
        self._thread.start()
        atexit.register(self._close_at_exit)

    @property
    def meta(self) -> RunMeta:
        """The run's description as it is now."""
        return self._backlog.meta

    def append(self, m: Measurement) -> None:
        """Adds a measurement, which is on disk within a second. Earlier rows with its step or a later one are superseded.

        Raises:
            RunError: The shapes of the arrays do not fit together, or the writer is closed.
        """
        self.append_many((m,))

    def append_many(self, measurements: Iterable[Measurement]) -> None:
        """Adds measurements in the order of their steps. On an error, none is added.

        Raises:
            RunError: The shapes of the arrays do not fit together, or the writer is closed.
        """
        if os.getpid() != self._pid:
            return
        with self._lock:
            self._check_open()
            rows = []
            for m in measurements:
                layout = self._layouts.of(m)
                rows.append((layout, pack(layout, m)))
            waiting = self._backlog.add_rows(rows)
            self._taken += len(rows)
        if waiting >= BATCH_ROWS:
            self._wake.put(None)
        self._warn()

    def event(self, kind: str, step: int | None = None, **facts: Any) -> None:
        """Adds an event: "phase" (name=...), "mark" (text=...), "evaluation" (numbers) or any other kind.

        Raises:
            RunError: The writer is closed.
        """
        if os.getpid() != self._pid:
            return
        with self._lock:
            self._check_open()
            self._backlog.add_event(kind, None if step is None else int(step), facts)
        self._wake.put(None)
        self._warn()

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        """Adds numbers that the training reports itself.

        Args:
            step: The optimizer step that they belong to.
            values: Name -> a number, or one that a device delivers later (see ``gradlens.reported.scalars``).

        Raises:
            RunError: The writer is closed.
        """
        if os.getpid() != self._pid:
            return
        with self._lock:
            self._check_open()
            self._backlog.add_logged(int(step), dict(values))
        self._warn()

    def probe(
        self,
        step: int,
        epoch: int | None,
        names: Iterable[str],
        gram: ArrayLike,
        layers: ArrayLike | None,
        counts: ArrayLike,
        loss: ArrayLike,
        correct: ArrayLike,
        seconds: float,
        groups: dict[str, Any],
        label: str | None = None,
    ) -> None:
        """Adds a probe, which is written into a file of its own.

        Args:
            step: Optimizer step at which it was made.
            epoch: Its epoch, or None.
            names: Names of the V vectors.
            gram: [V, V] inner products; NaN = absent.
            layers: [L, V, V] inner products in the run's layers, or None.
            counts: [K] samples of each of the probe's groups.
            loss: [K] summed loss of each group.
            correct: [K] correct predictions in each group.
            seconds: How long it took, in seconds.
            groups: ``ClassGroups.to_json()`` of the probe's groups.
            label: Name of the probe, or None.

        Raises:
            RunError: The shapes of the arrays do not fit together, or the writer is closed.
        """
        if os.getpid() != self._pid:
            return
        measured = probed(step, epoch, names, gram, layers, counts, loss, correct, seconds)
        with self._lock:
            self._check_open()
            layer_names = () if measured.layers is None else self._layouts.names_of_layers(len(measured.layers))
            pack(
                RowLayout(measured.names, layer_names, tuple(groups["groups"])), measured
            )  # raises now rather than in the thread
            self._backlog.add_probe(
                measured, groups, {"layer_names": layer_names, "label": label, "session": self.session}
            )
        self._wake.put(None)
        self._warn()

    def update_meta(self, **changes: Any) -> None:
        """Changes attributes of the run's description; ``timings``, ``hyperparameters`` and ``extra`` are merged.

        Raises:
            RunError: RunMeta has no such attribute, the groups are others, or the writer is closed.
        """
        if os.getpid() != self._pid:
            return
        with self._lock:
            self._check_open()
            for name in ("timings", "hyperparameters", "extra"):
                if name in changes:
                    changes[name] = {**getattr(self._backlog.meta, name), **changes[name]}
            try:
                meta = replace(self._backlog.meta, **changes)
            except TypeError as error:
                raise RunError(f"update_meta: {error}; RunMeta lists what a run's description holds") from error
            if tuple(meta.groups["groups"]) != self._groups:
                raise RunError("the groups of a run cannot change while it is written; start another run")
            self._layouts.rename_layers(tuple(meta.layer_names))
            self._backlog.change_meta(**changes)
        self._wake.put(None)
        self._warn()

    def flush(self) -> None:
        """Writes everything that is buffered, and waits for it. If the disk refuses, this is a warning."""
        if os.getpid() != self._pid:
            return
        # Only the thread writes: a signal handler may close the run while this function waits.
        done: SimpleQueue[None] = SimpleQueue()
        self._wake.put(done)
        while self._thread.is_alive():
            with contextlib.suppress(Empty):
                done.get(timeout=FLUSH_SECONDS)
                break
        self._warn()

    def close(self, status: str = "finished", reason: str | None = None) -> None:
        """Writes everything that is buffered, and ends the run. A second call does nothing. Errors of the disk are not raised.

        Args:
            status: "finished", "failed" or "interrupted"; "running", if another writer of this process goes on in the run.
            reason: Why it failed or was interrupted.
        """
        if os.getpid() != self._pid:
            return
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._backlog.change_meta(status=status, reason=reason, ended=time.time())
        self._wake.put(None)
        atexit.unregister(self._close_at_exit)
        if threading.current_thread() is not self._thread:
            self._thread.join(JOIN_SECONDS)
        if self._thread.is_alive():
            self._backlog.note_trouble(OSError("the file system did not answer in time"))
        else:
            lost = self._backlog.finish()
            if lost.get("rows"):
                warnings.warn(
                    f"{lost['rows']:,} of {self._taken:,} measured steps could not be written to the run {self.path} and are "
                    f"lost: {lost['cause']}",
                    RunLogWarning,
                    stacklevel=2,
                )
        self._warn()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(*ending(error))

    def _flush_regularly(self) -> None:
        while not self._closed:
            asked = []
            with contextlib.suppress(Empty):
                asked.append(self._wake.get(timeout=FLUSH_SECONDS))
                while True:
                    asked.append(self._wake.get_nowait())
            waiting = [done for done in asked if done is not None]
            if waiting:
                self._backlog.write()
            else:
                self._backlog.write_if_due()
            for done in waiting:
                done.put(None)

    def _close_at_exit(self) -> None:
        # Runs only if nothing has closed the run: the program has ended, or has raised an exception.
        error = getattr(sys, "last_value", None)
        if error is None:
            self.close()
        else:
            self.close("failed", f"{type(error).__name__}: {error}")

    def _check_open(self) -> None:
        if self._closed:
            raise RunError(f"the run {self.path} is closed; nothing can be added to it")

    def _warn(self) -> None:
        trouble = self._backlog.trouble
        if trouble is None or self._warned:
            return
        self._warned = True
        warnings.warn(
            f"cannot write the run {self.path}: {trouble}; training goes on, the newest rows are kept in memory and written as "
            "soon as it works again",
            RunLogWarning,
            stacklevel=3,
        )
