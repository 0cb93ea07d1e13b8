"""Run: a run on disk as arrays over its measured steps. The run may be finished, still growing, or broken off."""

from __future__ import annotations

import copy
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradlens.class_ids import GroupsError
from gradlens.groups import ClassGroups
from gradlens.metrics import packed as vectors
from gradlens.metrics.gram import UPDATE, Floats
from gradlens.runlog.errors import RunError
from gradlens.runlog.format import events as eventlog
from gradlens.runlog.format.description import RunMeta
from gradlens.runlog.format.events import Event
from gradlens.runlog.format.probes import Probe, probes_in_force
from gradlens.runlog.reading.files import RunFiles
from gradlens.runlog.reading.logged import HasLogged
from gradlens.runlog.reading.recorded import Recorded
from gradlens.runlog.reading.series import Series
from gradlens.runlog.reading.share_distance import distance_of
from gradlens.runlog.reading.status import LastWritten, RunStatus, status_of
from gradlens.runlog.reading.stored import FromColumn, FromEvents
from gradlens.shown import ShownInNotebooks


class Run(ShownInNotebooks, HasLogged):
    """Reads a run. Arrays are over the T measured steps, and float64 unless another dtype is named.

    A value is NaN if there is no number: if a group is absent, or if its gradient is not finite (see ``nonfinite``). A cosine or
    share is also NaN if a gradient is zero.

    Steps are strictly increasing. If a training was resumed, its steps supersede the same and later steps of earlier sessions.
    Curves are computed in parts and kept, so a long run needs little memory, and ``refresh`` reads only what is new. A Run may
    be used from several threads.

    Every method with a ``name`` or a ``layer`` raises KeyError if the run has none of that name.

    Example:
        >>> from gradlens import Run
        >>> run = Run("runs/digits")  # also while it is being written, also after a crash
        >>> run.names
        ('head', 'tail', 'rest')
        >>> run.cosine("tail").shape == run.steps.shape
        True
        >>> bool((run.share("head") > run.share("tail")).mean() > 0.5)  # in most steps the head steers
        True
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Opens the run in the folder ``path``.

        Raises:
            NotARun: gradlens did not write the folder.
            RunTooNew: A later version of gradlens has written the run.
            RunError: The run's description cannot be read.
        """
        self.path = Path(path)
        self._lock = threading.RLock()
        self._rows: int | None = None  # of a snapshot
        self._open()

    def _open(self) -> None:
        files = RunFiles(self.path)
        try:
            self._groups = ClassGroups.from_json(files.meta.groups)
        except GroupsError as error:
            raise RunError(f"{self.path} has no usable groups: {error}") from error
        self._files, self._series = files, Series(files, len(self._groups))

    def refresh(self) -> bool:
        """Reads everything that was added since the last time. Returns whether there was anything.

        Raises:
            RunTooNew: A later version of gradlens has continued the run.
            RunError: Another run has taken the folder, and it cannot be read.
        """
        if self._rows is not None:
            return False
        with self._lock:
            started = self._files.meta.started
            change = self._files.refresh()
            # Opens the run again if earlier rows are gone, or if another run has taken the folder: it has another start.
            if change.cut or self._files.meta.started != started:
                self._open()
            return bool(change)

    def snapshot(self) -> Run:
        """Returns a copy that keeps its length while this run is refreshed. It is cheap; its ``refresh`` does nothing."""
        with self._lock:
            copied = copy.copy(self)
            copied._rows = len(self)
            return copied

    def __len__(self) -> int:
        return self._files.rows if self._rows is None else min(self._rows, self._files.rows)

    def __repr__(self) -> str:
        status, steps = self.status, f"{len(self)} measured step{'' if len(self) == 1 else 's'}"
        return f"Run({str(self.path)!r}: {steps}, {status.state}, {', '.join(self.names)})"

    @property
    def name(self) -> str:
        """The title on the run's card, or the folder's name."""
        return self._files.card.title or self.path.resolve().name

    @property
    def meta(self) -> RunMeta:
        """The run's description: all that is known of it except its measurements and events."""
        return self._files.meta

    @property
    def groups(self) -> ClassGroups:
        """The run's groups."""
        return self._groups

    @property
    def status(self) -> RunStatus:
        """Whether the run is still growing, over, or was killed, as of now."""
        return status_of(self.path, LastWritten.of(self._files.meta))

    @property
    def warnings(self) -> tuple[str, ...]:
        """A text for each thing of the run that is missing, belongs to another run, was changed or cannot be read."""
        return self._files.warnings(live=self.status.live)

    @property
    def proven(self) -> bool:
        """Whether everything has checksums. Files of versions without checksums are read without a check."""
        return self._files.proven

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all V vectors of the run: groups or "component/group", then "rest", then "update" if measured."""
        return self._recorded().names

    @property
    def components(self) -> tuple[str, ...]:
        """Names of the loss components; () if the loss is not split."""
        return vectors.components(self.names)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of all L layers of the run; () if layers are not logged."""
        return self._recorded().layers

    @property
    def has_update(self) -> bool:
        """Whether the optimizer's update was measured."""
        return UPDATE in self.names

    steps = FromColumn("step", "[T] int64 optimizer steps, strictly increasing.")
    time = FromColumn("time", "[T] Unix seconds.")
    epoch = FromColumn("epoch", "[T] epochs; NaN where unknown.")
    counts = FromColumn("counts", "[T, K] samples of each group.")
    loss = FromColumn("loss", "[T, K] summed loss of each group.")
    correct = FromColumn("correct", "[T, K] correctly classified samples of each group.")
    residual = FromColumn("residual", "[T] |g - sum_k g_k - rest| / |g|.")
    total_loss = FromColumn("total_loss", "[T] the loss on which backward ran.")
    seconds = FromColumn("seconds", "[T] seconds that measuring added to the step.")

    @property
    def events(self) -> list[Event]:
        """All events in the order in which they were written: dicts with kind, step (or None), time and more."""
        return list(self._files.events.events)

    phases = FromEvents(eventlog.phases, "The phases in order.")
    marks = FromEvents(eventlog.marks, "The marks in order.")
    evaluations = FromEvents(
        eventlog.evaluations, "The evaluations in order: dicts with step, time and the numbers that were given."
    )

    @property
    def probes(self) -> list[Probe]:
        """The probes that no later session supersedes, in the order of their steps."""
        return probes_in_force(self._files.probes, self._files.starts())

    def nonfinite(self, name: str = "all", layer: str | None = None) -> NDArray[np.bool_]:
        """Returns [T] bool: whether a vector (by default the whole gradient) was measured and is not finite.

        ``norm`` is NaN in these steps, and in those without the vector.

        Raises:
            KeyError: There is no such name or layer.
        """
        if not (without := np.isnan(self.norm(name, layer=layer))).any():
            return without
        with self._lock:
            return self._recorded().nonfinite(name, layer)

    def gram(self, layer: str | None = None, rows: slice | None = None) -> Floats:
        """Returns [T, V, V] inner products of the vectors ``names``. NaN = absent, inf = not finite.

        Args:
            layer: A name from ``layers``, or None for the whole model.
            rows: Only these rows (a slice without a step). All rows of a long run need 8 T V^2 bytes.

        Raises:
            KeyError: There is no such layer.
        """
        with self._lock:
            return self._recorded().gram(layer, rows or slice(None))

    def quantity(self, name: str, *of: str, layer: str | None = None) -> Floats:
        """Returns [T] a quantity of ``gradlens.metrics.catalogue``, such as ``quantity("accuracy", "tail")``.

        Args:
            name: The quantity's name.
            *of: Names of vectors: one; two for a quantity of a pair; none for one of the whole step.
            layer: A name from ``layers``, or None for the whole model.

        Raises:
            KeyError: There is no such vector or layer.
            ValueError: There is no such quantity, it is no series, or it needs another number of vectors.
        """
        with self._lock:
            return self._recorded().quantity(name, of, layer)

    def norm(self, name: str = "all", per: str = "contribution", layer: str | None = None) -> Floats:
        """Returns [T] the norm of a vector's contribution or (``per="mean"``) of the group's mean gradient.

        Args:
            name: A group, "all", "rest", "update", a component or "component/group".
            per: "contribution", or "mean": times batch / n_k. Only groups have a mean; for others it is the contribution.
            layer: A name from ``layers``, or None for the whole model.

        Raises:
            KeyError: There is no such name or layer.
            ValueError: ``per`` is something else.
        """
        if per not in ("contribution", "mean"):
            raise ValueError(f"per={per!r}; choose 'contribution' or 'mean'")
        return self.quantity("mean_norm" if per == "mean" and name in self.groups.names else "norm", name, layer=layer)

    def cosine(self, name: str, layer: str | None = None) -> Floats:
        """Returns [T] cos(g_name, g): how much the whole gradient points in the direction of this group's gradient."""
        return self.quantity("cosine", name, layer=layer)

    def share(self, name: str, layer: str | None = None) -> Floats:
        """Returns [T] <g_name, g> / <g, g>. The shares of all groups and "rest" add up to 1."""
        return self.quantity("share", name, layer=layer)

    def conflict(self, a: str, b: str, layer: str | None = None) -> Floats:
        """Returns [T] cos(g_a, g_b). It is negative if the two gradients work against each other."""
        return self.quantity("conflict", a, b, layer=layer)

    def benefit(self, group: str) -> Floats:
        """Returns [T] how much the optimizer's step lowers the mean loss of the group's samples in it; NaN without an update."""
        return self.quantity("benefit", group)

    def distortion(self, layer: str | None = None) -> np.float64:
        """Returns the distortion of the run or of one layer: one number, the same as ``gradlens.distortion`` returns."""
        return np.float64(distance_of(self, layer=layer).value)

    def share_distance(self, layer: str | None = None) -> Floats:
        """Returns [T] half the L1 distance between each step's shares and the groups' fractions of the classes.

        In single steps this is mostly the chance of the batches. ``distortion`` estimates the distance without that chance.
        """
        with self._lock:
            return self._recorded().share_distance(layer)

    def sample(self, points: int) -> NDArray[np.intp]:
        """Returns the indices of at most ``points`` rows, evenly spread, with the first and the last."""
        rows = len(self)
        return np.unique(np.linspace(0, max(rows - 1, 0), min(points, rows)).round().astype(np.intp))

    def by_layer(self, quantity: str, name: str, rows: NDArray[np.intp] | None = None) -> Floats:
        """Returns [n, L] a quantity of a vector in every layer, at the given rows.

        Args:
            quantity: "cosine", "share", "norm", "mean_norm" or another one of the catalogue.
            name: See ``norm``.
            rows: [n] ascending indices of rows, best from ``sample``; None = all.

        Raises:
            KeyError: There is no such name.
            ValueError: There is no such quantity, or it is not one of a single vector.
        """
        with self._lock:
            return self._recorded().by_layer(quantity, name, np.arange(len(self)) if rows is None else np.asarray(rows))

    def column(self, name: str) -> NDArray[Any]:
        """Returns a column by its name in the files ("step", "loss"): [T], or [T, K]."""
        with self._lock:
            return self._recorded().column(name)

    def _recorded(self) -> Recorded:
        """Returns the rows as they are now. It is called under the lock, so that no other thread's refresh changes them."""
        return Recorded(self.path, self._files, self._series, self._groups, len(self))

    def _events_in_force(self) -> list[Event]:
        """Returns the events that no later session supersedes, in the order of the file."""
        return eventlog.in_force(self._files.events.events, self._files.starts())
