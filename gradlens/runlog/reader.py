"""Run: a run on disk, finished, live or torn, as arrays over its measured steps."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradlens import gram as grams
from gradlens.gram import REST, UPDATE, Floats
from gradlens.groups import ClassGroups, GroupsError
from gradlens.runlog import events as eventlog
from gradlens.runlog import vectors
from gradlens.runlog.curves import Curves
from gradlens.runlog.errors import RunError
from gradlens.runlog.events import Event, Mark, Phase
from gradlens.runlog.files import RunFiles
from gradlens.runlog.meta import RunMeta
from gradlens.runlog.probes import Probe
from gradlens.runlog.schema import NO_EPOCH
from gradlens.runlog.segment import Segment
from gradlens.runlog.status import RunStatus, status_of


class Run:
    """Reads a run. Arrays are over the T measured steps, float64 unless said otherwise, and NaN where something is absent.

    Steps are strictly increasing: where a training was resumed, the later session's steps supersede the earlier ones'. Files
    are memory-mapped, curves are computed in parts and kept, so that a long run costs little memory and ``refresh`` only what is new.
    Safe to use from several threads.
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
        self._curves = Curves()
        self._files = RunFiles(self.path)
        try:
            self._groups = ClassGroups.from_json(self._files.meta.groups)
        except GroupsError as error:
            raise RunError(f"{self.path} has no usable groups: {error}") from error

    def refresh(self) -> bool:
        """Reads what was added since the last time; True if there was anything.

        Raises:
            RunTooNew: A later version of gradlens has continued the run.
        """
        with self._lock:
            change = self._files.refresh()
            if change.cut:
                self._curves.clear()
            return bool(change)

    def __len__(self) -> int:
        return self._files.rows

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
        """What of the run could not be read, and why."""
        return self._files.warnings

    @property
    def names(self) -> tuple[str, ...]:
        """The V vectors of any time of the run: groups or "component/group", then "rest", then "update" if measured."""
        found = dict.fromkeys(n for s in self._segments() for n in (s.layout.names if s.layout else ()))
        names = tuple(found) or self.meta.names or (*self.groups.names, REST)
        last = [name for name in (REST, UPDATE) if name in names]
        return (*(name for name in names if name not in last), *last)

    @property
    def components(self) -> tuple[str, ...]:
        """The loss components, or () where the loss is not split."""
        return vectors.components(self.names)

    @property
    def layers(self) -> tuple[str, ...]:
        """The L layers of any time of the run, or () where layers are not logged."""
        found = dict.fromkeys(n for s in self._segments() for n in (s.layout.layer_names if s.layout else ()))
        return tuple(found)

    @property
    def has_update(self) -> bool:
        """Whether the optimizer's actual update was measured."""
        return UPDATE in self.names

    @property
    def steps(self) -> NDArray[np.int64]:
        """[T] int64 optimizer steps, strictly increasing."""
        return self._column("step")

    @property
    def time(self) -> Floats:
        """[T] Unix seconds."""
        return self._column("time")

    @property
    def epoch(self) -> Floats:
        """[T] epochs; NaN where unknown."""
        return self._column("epoch")

    @property
    def counts(self) -> Floats:
        """[T, K] samples of each group."""
        return self._column("counts")

    @property
    def loss(self) -> Floats:
        """[T, K] summed loss of each group."""
        return self._column("loss")

    @property
    def correct(self) -> Floats:
        """[T, K] correctly classified samples of each group."""
        return self._column("correct")

    @property
    def residual(self) -> Floats:
        """[T] |g - sum_k g_k - rest| / |g|."""
        return self._column("residual")

    @property
    def total_loss(self) -> Floats:
        """[T] the loss on which backward ran."""
        return self._column("total_loss")

    @property
    def seconds(self) -> Floats:
        """[T] seconds that measuring added to the step."""
        return self._column("seconds")

    @property
    def events(self) -> list[Event]:
        """Every event, in the order in which they were written: dicts with kind, step (or None), time and more."""
        return list(self._files.events.events)

    @property
    def phases(self) -> list[Phase]:
        """The phases in order."""
        return eventlog.phases(self._in_force())

    @property
    def marks(self) -> list[Mark]:
        """The marks in order."""
        return eventlog.marks(self._in_force())

    @property
    def evaluations(self) -> list[Event]:
        """The evaluations in order: dicts with step, time and the numbers that were given."""
        return eventlog.evaluations(self._in_force())

    @property
    def probes(self) -> list[Probe]:
        """The whole-data measurements that no later session supersedes, in order."""
        starts = self._starts()
        kept = [p for p in self._files.probes if all(p.step < at for s, at in starts.items() if s > p.session)]
        return sorted(kept, key=lambda probe: probe.step)

    def gram(self, layer: str | None = None, rows: slice | None = None) -> Floats:
        """Returns [T, V, V] inner products of ``names``, of the whole model or of one layer.

        Args:
            layer: A name from ``layers``, or None.
            rows: Only these rows (a slice without a step); a long run's whole Gram is 8 T V^2 bytes.

        Raises:
            KeyError: No such layer.
        """
        names = self.names
        with self._lock:
            start, stop, _ = (rows or slice(None)).indices(len(self))

            def part(segment: Segment, low: int, high: int) -> Floats:
                assert segment.layout is not None
                out = np.full((high - low, len(names), len(names)), np.nan)
                places = [names.index(name) for name in segment.layout.names]
                packed = self._packed(segment, low, high, layer)
                if packed is not None:
                    out[:, np.array(places)[:, None], places] = vectors.unpack(packed, len(places))
                return out

            self._check_layer(layer)
            return self._gather(start, max(start, stop), part, (len(names), len(names)))

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

        def value(packed: NDArray[Any], names: tuple[str, ...]) -> Floats:
            A = vectors.coarse(packed, vectors.selection(names, name)[None])
            return grams.overall_norm(A, 1) if name == vectors.ALL else grams.norm(A, 0)

        norms = self._curve("norm", name, layer, value)
        if per == "contribution" or name not in self.groups.names:
            return norms
        with self._lock:
            counts = self.counts[: len(norms)]
        n = counts[:, self.groups.names.index(name)]
        return np.asarray(norms * counts.sum(-1) / np.where(n > 0, n, np.nan))

    def cosine(self, name: str, layer: str | None = None) -> Floats:
        """Returns [T] cos(g_name, g): how far the whole gradient goes the way of this group.

        Raises:
            KeyError: No such name or layer.
        """
        return self._against_all("cosine", name, layer, grams.cosine)

    def share(self, name: str, layer: str | None = None) -> Floats:
        """Returns [T] <g_name, g> / <g, g>; the shares of all groups and "rest" add up to 1.

        Raises:
            KeyError: No such name or layer.
        """
        return self._against_all("share", name, layer, grams.share)

    def conflict(self, a: str, b: str, layer: str | None = None) -> Floats:
        """Returns [T] cos(g_a, g_b); negative where the two pull against each other.

        Raises:
            KeyError: No such name or layer.
        """

        def value(packed: NDArray[Any], names: tuple[str, ...]) -> Floats:
            S = np.stack([vectors.selection(names, a), vectors.selection(names, b)])
            return grams.conflict(vectors.coarse(packed, S), 0, 1)

        self._check_name(b)
        return self._curve(("conflict", b), a, layer, value)

    def distortion(self, layer: str | None = None) -> Floats:
        """Returns [T] half the L1 distance between the groups' shares and their fractions of the classes; 0 = undistorted.

        Raises:
            KeyError: No such layer.
        """
        fractions = self.groups.fractions()

        def value(packed: NDArray[Any], names: tuple[str, ...]) -> Floats:
            S = np.stack([vectors.selection(names, name) for name in (*self.groups.names, REST)])
            A = vectors.coarse(packed, S)
            shares = [grams.share(A, k, len(S)) for k in range(len(S) - 1)]
            return grams.distortion(np.stack(shares, axis=-1), fractions)

        return self._curve("distortion", vectors.ALL, layer, value)

    def sample(self, points: int) -> NDArray[np.intp]:
        """Returns the indices of at most ``points`` rows, evenly spread, the first and the last among them."""
        rows = len(self)
        return (
            np.unique(np.linspace(0, rows - 1, min(points, rows)).round().astype(np.intp))
            if rows
            else np.array([], np.intp)
        )

    def by_layer(self, quantity: str, name: str, rows: NDArray[np.intp] | None = None) -> Floats:
        """Returns [n, L] the "cosine", "share" or "norm" of a vector in every layer, at the given rows.

        Args:
            quantity: Which.
            name: As for ``norm``.
            rows: Ascending indices of rows, best from ``sample``; None = all.

        Raises:
            KeyError: No such name.
            ValueError: Another quantity.
        """
        functions = {"cosine": grams.cosine, "share": grams.share, "norm": lambda A, v, _: grams.norm(A, v)}
        if quantity not in functions:
            raise ValueError(f"quantity={quantity!r}; choose one of {', '.join(functions)}")
        self._check_name(name)
        layers = self.layers
        with self._lock:
            index = np.arange(len(self)) if rows is None else np.asarray(rows, dtype=np.intp)
            out = np.full((len(index), len(layers)), np.nan)
            for stretch in self._files.stretches:
                segment, layout = stretch.segment, stretch.segment.layout
                low, high = np.searchsorted(index, (stretch.first, stretch.first + stretch.rows))
                if layout is None or not layout.layer_names or low == high:
                    continue
                S, contributing = vectors.against_all(layout.names, name)
                packed = segment.take("layers", index[low:high] - stretch.first)  # [n, L, P]
                A = vectors.coarse(packed.reshape(-1, layout.pairs), S)
                values = functions[quantity](A, 1, contributing).reshape(high - low, -1)
                out[low:high, [layers.index(layer) for layer in layout.layer_names]] = values
        return out

    def _against_all(self, kind: str, name: str, layer: str | None, quantity: Callable[..., Floats]) -> Floats:
        def value(packed: NDArray[Any], names: tuple[str, ...]) -> Floats:
            S, contributing = vectors.against_all(names, name)
            return quantity(vectors.coarse(packed, S), 1, contributing)

        return self._curve(kind, name, layer, value)

    def _curve(
        self, kind: Any, name: str, layer: str | None, value: Callable[[NDArray[Any], tuple[str, ...]], Floats]
    ) -> Floats:
        """Returns [T] a quantity of the packed Gram rows, computed in parts."""
        self._check_name(name)
        self._check_layer(layer)

        def part(segment: Segment, low: int, high: int) -> Floats:
            assert segment.layout is not None
            packed = self._packed(segment, low, high, layer)
            return np.full(high - low, np.nan) if packed is None else value(packed, segment.layout.names)

        V = len(self.names)
        with self._lock:
            return self._curves.get(
                (kind, name, layer),
                len(self),
                lambda start, stop: self._gather(start, stop, part, ()),
                16 * V * (V + 1),
            )

    def _column(self, column: str) -> NDArray[Any]:
        def part(segment: Segment, low: int, high: int) -> NDArray[Any]:
            values = segment.read(column, low, high)
            return np.where(values == NO_EPOCH, np.nan, values.astype(np.float64)) if column == "epoch" else values

        shape = (len(self.groups),) if column in ("counts", "loss", "correct") else ()
        dtype = np.int64 if column == "step" else np.float64
        with self._lock:
            return self._curves.get(
                column,
                len(self),
                lambda start, stop: self._gather(start, stop, part, shape, dtype),
                8 * int(np.prod(shape)),
            )

    def _gather(
        self,
        start: int,
        stop: int,
        part: Callable[[Segment, int, int], NDArray[Any]],
        shape: tuple[int, ...],
        dtype: Any = np.float64,
    ) -> NDArray[Any]:
        out = np.empty((stop - start, *shape), dtype=dtype)
        for stretch in self._files.stretches:
            low, high = max(start, stretch.first), min(stop, stretch.first + stretch.rows)
            if low < high:
                out[low - start : high - start] = part(stretch.segment, low - stretch.first, high - stretch.first)
        return out

    def _packed(self, segment: Segment, low: int, high: int, layer: str | None) -> NDArray[Any] | None:
        assert segment.layout is not None
        if layer is None:
            return segment.read("gram", low, high)
        if layer not in segment.layout.layer_names:
            return None
        return segment.read("layers", low, high, segment.layout.layer_names.index(layer))

    def _segments(self) -> list[Segment]:
        return [stretch.segment for stretch in self._files.stretches]

    def _starts(self) -> dict[int, int]:
        return self._files.starts()

    def _in_force(self) -> list[Event]:
        return eventlog.in_force(self._files.events.events, self._starts())

    def _check_name(self, name: str) -> None:
        known = (vectors.ALL, *vectors.known(self.names, self.groups.names))
        if name not in known:
            raise KeyError(f"no vector {name!r} in the run {self.path}; it has {', '.join(known)}")

    def _check_layer(self, layer: str | None) -> None:
        if layer is not None and layer not in self.layers:
            has = f"it has {', '.join(self.layers)}" if self.layers else "it logged no layers (track with --layers)"
            raise KeyError(f"no layer {layer!r} in the run {self.path}; {has}")
