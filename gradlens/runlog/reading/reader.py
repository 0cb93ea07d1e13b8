"""Run: a run on disk, finished, live or torn, as arrays over its measured steps."""

from __future__ import annotations

import copy
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradlens.groups import ClassGroups, GroupsError
from gradlens.metrics import packed as vectors
from gradlens.metrics.gram import UPDATE, Floats
from gradlens.runlog.errors import RunError
from gradlens.runlog.format import events as eventlog
from gradlens.runlog.format.description import RunMeta
from gradlens.runlog.format.events import Event
from gradlens.runlog.format.probes import Probe, probes_in_force
from gradlens.runlog.reading.files import RunFiles
from gradlens.runlog.reading.recorded import Recorded
from gradlens.runlog.reading.series import Series
from gradlens.runlog.reading.share_distance import distance_of
from gradlens.runlog.reading.status import RunStatus, status_of
from gradlens.runlog.reading.stored import Stored, Told
from gradlens.shown import ShownInNotebooks


class Run(ShownInNotebooks):
    """Reads a run. Arrays are over the T measured steps, float64 unless said otherwise, and NaN where there is no number.

    There is none where a group is absent, where its gradient is not finite (``nonfinite`` says so), and no cosine or share where
    one is zero.

    Steps are strictly increasing: where a training was resumed, the later session's steps supersede the earlier ones'. Curves
    are computed in parts and kept, so that a long run costs little memory and ``refresh`` reads only
    what is new. Safe to use from several threads.

    Every method with a ``name`` or a ``layer`` raises KeyError where there is none such.

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
            NotARun: Not a folder that gradlens wrote.
            RunTooNew: Written by a later version.
            RunError: A run.json that cannot be read.
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
        """Reads what was added since the last time; True if there was anything.

        Raises:
            RunTooNew: A later version of gradlens has continued the run.
            RunError: Another run has taken the folder, and it cannot be read.
        """
        if self._rows is not None:
            return False
        with self._lock:
            started = self._files.meta.started
            change = self._files.refresh()
            # Anew where earlier rows have gone, or another run has taken the folder; a resumed one keeps its start.
            if change.cut or self._files.meta.started != started:
                self._open()
            return bool(change)

    def snapshot(self) -> Run:
        """Returns the run as it is now: arrays of one length while others refresh this one. Cheap, and itself never refreshed."""
        with self._lock:
            copied = copy.copy(self)
            copied._rows = len(self)
            return copied

    def __len__(self) -> int:
        return self._files.rows if self._rows is None else min(self._rows, self._files.rows)

    def __repr__(self) -> str:
        status = self.status
        return f"Run({str(self.path)!r}: {len(self)} measured steps, {status.state}, {', '.join(self.names)})"

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.resolve().name

    @property
    def meta(self) -> RunMeta:
        """Everything about the run but its measurements and events."""
        return self._files.meta

    @property
    def groups(self) -> ClassGroups:
        """The run's groups."""
        return self._groups

    @property
    def status(self) -> RunStatus:
        """Whether the run is live, over, or was killed, as of now."""
        return status_of(self.path, self._files.meta)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What of the run is missing, foreign, changed or could not be read, and why."""
        return self._files.warnings(live=self.status.live)

    @property
    def proven(self) -> bool:
        """Whether everything carries checksums; what versions before them wrote is read without."""
        return self._files.proven

    @property
    def names(self) -> tuple[str, ...]:
        """The V vectors of any time of the run: groups or "component/group", then "rest", then "update" if measured."""
        return self._recorded().names

    @property
    def components(self) -> tuple[str, ...]:
        """The loss components, or () where the loss is not split."""
        return vectors.components(self.names)

    @property
    def layers(self) -> tuple[str, ...]:
        """The L layers of any time of the run, or () where layers are not logged."""
        return self._recorded().layers

    @property
    def has_update(self) -> bool:
        """Whether the optimizer's actual update was measured."""
        return UPDATE in self.names

    steps = Stored("step", "[T] int64 optimizer steps, strictly increasing.")
    time = Stored("time", "[T] Unix seconds.")
    epoch = Stored("epoch", "[T] epochs; NaN where unknown.")
    counts = Stored("counts", "[T, K] samples of each group.")
    loss = Stored("loss", "[T, K] summed loss of each group.")
    correct = Stored("correct", "[T, K] correctly classified samples of each group.")
    residual = Stored("residual", "[T] |g - sum_k g_k - rest| / |g|.")
    total_loss = Stored("total_loss", "[T] the loss on which backward ran.")
    seconds = Stored("seconds", "[T] seconds that measuring added to the step.")

    @property
    def events(self) -> list[Event]:
        """Every event, in the order in which they were written: dicts with kind, step (or None), time and more."""
        return list(self._files.events.events)

    phases = Told(eventlog.phases, "The phases in order.")
    marks = Told(eventlog.marks, "The marks in order.")
    evaluations = Told(
        eventlog.evaluations, "The evaluations in order: dicts with step, time and the numbers that were given."
    )

    @property
    def probes(self) -> list[Probe]:
        """The whole-data measurements that no later session supersedes, in order."""
        return probes_in_force(self._files.probes, self._files.starts())

    def nonfinite(self, name: str = "all", layer: str | None = None) -> NDArray[np.bool_]:
        """Returns [T] bool: whether a vector (by default the whole gradient) was measured and is not finite.

        A step without a norm is one of these, or the vector is absent.

        Raises:
            KeyError: No such name or layer.
        """
        without = np.isnan(self.norm(name, layer=layer))
        if not without.any():
            return without
        with self._lock:
            return self._recorded().nonfinite(name, layer)

    def gram(self, layer: str | None = None, rows: slice | None = None) -> Floats:
        """Returns [T, V, V] inner products of ``names``, of the whole model or of one layer; NaN = absent, inf = not finite.

        Args:
            layer: A name from ``layers``, or None.
            rows: Only these rows (a slice without a step); a long run's whole Gram is 8 T V^2 bytes.

        Raises:
            KeyError: No such layer.
        """
        with self._lock:
            return self._recorded().gram(layer, rows or slice(None))

    def quantity(self, name: str, *of: str, layer: str | None = None) -> Floats:
        """Returns [T] any quantity of ``gradlens.metrics.catalogue``: ``quantity("accuracy", "tail")``.

        Args:
            name: The quantity's name.
            *of: One group or other vector, or two where it is of a pair, or none where it is of the whole step.
            layer: A name from ``layers``, or None for the whole model.

        Raises:
            KeyError: No such vector or layer.
            ValueError: No such quantity, one that is no series, or too many or few vectors for it.
        """
        with self._lock:
            return self._recorded().quantity(name, of, layer)

    def norm(self, name: str = "all", per: str = "contribution", layer: str | None = None) -> Floats:
        """Returns [T] the norm of a vector's contribution or (``per="mean"``) of the group's mean gradient.

        Args:
            name: A group, "all", "rest", "update", a component or "component/group".
            per: "contribution", or "mean" (times batch / n_k; only groups have one, the others stay as they are).
            layer: A name from ``layers``, or None for the whole model.

        Raises:
            KeyError: No such name or layer.
            ValueError: Another ``per``.
        """
        if per not in ("contribution", "mean"):
            raise ValueError(f"per={per!r}; choose 'contribution' or 'mean'")
        mean = per == "mean" and name in self.groups.names
        return self.quantity("mean_norm" if mean else "norm", name, layer=layer)

    def cosine(self, name: str, layer: str | None = None) -> Floats:
        """Returns [T] cos(g_name, g): how far the whole gradient goes the way of this group."""
        return self.quantity("cosine", name, layer=layer)

    def share(self, name: str, layer: str | None = None) -> Floats:
        """Returns [T] <g_name, g> / <g, g>; the shares of all groups and "rest" add up to 1."""
        return self.quantity("share", name, layer=layer)

    def conflict(self, a: str, b: str, layer: str | None = None) -> Floats:
        """Returns [T] cos(g_a, g_b); negative where the two pull against each other."""
        return self.quantity("conflict", a, b, layer=layer)

    def distortion(self, layer: str | None = None) -> np.float64:
        """Returns ``gradlens.distortion`` of the run, or that of one layer: one number, the same under both names."""
        return np.float64(distance_of(self, layer=layer).value)

    def share_distance(self, layer: str | None = None) -> Floats:
        """Returns [T] half the L1 distance between each step's shares and the groups' fractions of the classes.

        Of single steps, so mostly the chance of batches; ``distortion`` is about what lies behind it.
        """
        with self._lock:
            return self._recorded().share_distance(layer)

    def sample(self, points: int) -> NDArray[np.intp]:
        """Returns the indices of at most ``points`` rows, evenly spread, the first and the last among them."""
        rows = len(self)
        return np.unique(np.linspace(0, max(rows - 1, 0), min(points, rows)).round().astype(np.intp))

    def by_layer(self, quantity: str, name: str, rows: NDArray[np.intp] | None = None) -> Floats:
        """Returns [n, L] a quantity of a group or other vector in every layer, at the given rows.

        Args:
            quantity: "cosine", "share", "norm", "mean_norm" or another one of the catalogue.
            name: As for ``norm``.
            rows: Ascending indices of rows, best from ``sample``; None = all.

        Raises:
            KeyError: No such name.
            ValueError: No such quantity, or one that is not of one vector.
        """
        with self._lock:
            index = np.arange(len(self)) if rows is None else np.asarray(rows, dtype=np.intp)
            return self._recorded().by_layer(quantity, name, index)

    def column(self, name: str) -> NDArray[Any]:
        """Returns [T] or [T, K] a column by its name in the files ("step", "loss")."""
        with self._lock:
            return self._recorded().column(name)

    def _recorded(self) -> Recorded:
        """Returns what there is now; to be asked under the lock, lest another thread's refresh changes it."""
        return Recorded(self.path, self._files, self._series, self._groups, len(self))

    def events_in_force(self) -> list[Event]:
        """Returns the events that no later session supersedes, in order."""
        return eventlog.in_force(self._files.events.events, self._files.starts())
