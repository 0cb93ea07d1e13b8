"""The layout of a segment's rows, and its Arrow schema.

A segment is an Arrow IPC stream with one schema, so any Arrow tool can read it. Symmetric matrices are stored as their upper
triangle, row by row: P = V(V+1)/2 numbers. Absent entries are null. The value under a null is NaN (for ``epoch``: -1), so a
reader may use the values without a look at the validity bits. Entries of a vector that is not finite are inf.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gradlens.guards.printable import printable
from gradlens.metrics.measurement import Measurement
from gradlens.runlog.errors import NotARun, RunError, RunTooNew
from gradlens.runlog.format import strict_json
from gradlens.runlog.format.description import FORMAT, SCHEMA_VERSION
from gradlens.runlog.format.text_proof import BLANK, TEXT_KEY

KEY = b"gradlens"
# The schema version of segments with wide rows. Earlier versions of gradlens cannot read these, but can read all others.
WIDE_VERSION = SCHEMA_VERSION + 1
NO_EPOCH = -1


@dataclass(frozen=True)
class Origin:
    """The run that a segment belongs to, and its place there.

    Attributes:
        run: The run's id, or None.
        place: Number of the segment in its run; None in files of versions without checksums.
        seed: Checksum of the segment's description of its rows. The checksums of its batches start from it.
        description: The copy of run.json in the segment.
    """

    run: str | None
    place: int | None
    seed: int
    description: dict[str, Any]

    @classmethod
    def of(cls, facts: dict[str, Any]) -> Self:
        """Reads the origin from the facts in a schema.

        Raises:
            ValueError: The place is no number.
        """
        place, description = facts.get("place"), strict_json.readable(facts.get("run"))
        if "place" in facts and (not isinstance(place, int) or isinstance(place, bool) or place < 0):
            raise ValueError(f"its place is {place!r}")
        described = {key: value for key, value in facts.items() if key not in ("run", TEXT_KEY)}
        run = facts.get("run_id")
        return cls(
            run if isinstance(run, str) else None,
            place,
            zlib.crc32(strict_json.dumps(described).encode()),
            description if isinstance(description, dict) else {},
        )


@dataclass(frozen=True)
class RowLayout:
    """The columns of one segment's rows.

    Attributes:
        names: Names of the V vectors.
        layer_names: Names of the L layers; () if the segment has none.
        groups: Names of the K groups of counts, loss and correct.
        session: Number of the training's start that has written the segment, from 0. A later one supersedes an earlier one.
        wide: Whether the layers are float64, and there is a column ``exponent``: the power of two by which the vectors were
            divided.
        nonfinite_as_inf: Whether entries of a vector that is not finite are inf. Earlier versions wrote NaN as absent.
    """

    names: tuple[str, ...]
    layer_names: tuple[str, ...]
    groups: tuple[str, ...]
    session: int = 0
    wide: bool = False
    nonfinite_as_inf: bool = True

    @cached_property
    def pairs(self) -> int:
        """P, the length of a packed triangle."""
        return len(self.names) * (len(self.names) + 1) // 2

    @cached_property
    def triangle(self) -> NDArray[np.intp]:
        """[P] positions of the upper triangle in a flattened [V, V] matrix."""
        rows, columns = np.triu_indices(len(self.names))
        return np.asarray(rows * len(self.names) + columns)

    @cached_property
    def widths(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Column -> (little-endian dtype, shape of one row), in the order of the schema."""
        K, P, L = len(self.groups), self.pairs, len(self.layer_names)
        return {
            "step": ("<i8", ()),
            "time": ("<f8", ()),
            "epoch": ("<i4", ()),
            "gram": ("<f8", (P,)),
            **({"layers": ("<f8" if self.wide else "<f4", (L, P))} if L else {}),
            "counts": ("<f8", (K,)),
            "loss": ("<f8", (K,)),
            "correct": ("<f8", (K,)),
            "residual": ("<f8", ()),
            "total_loss": ("<f8", ()),
            "seconds": ("<f8", ()),
            **({"exponent": ("<i4", ())} if self.wide else {}),
        }

    def schema(self, meta: dict[str, Any], place: int | None = None) -> pa.Schema:
        """Returns the Arrow schema.

        Args:
            meta: ``RunMeta.to_json()``. The schema holds a copy, so that the rows can be read without run.json.
            place: Number of the segment in its run; None if it is no segment.
        """
        fields = []
        for column, (dtype, shape) in self.widths.items():
            kind = pa.list_(_ARROW[dtype], math.prod(shape)) if shape else _ARROW[dtype]
            fields.append(pa.field(column, kind, nullable=column in ("epoch", "gram", "layers")))
        facts = {
            "format": FORMAT,
            "schema": WIDE_VERSION if self.wide else SCHEMA_VERSION,
            "session": self.session,
            **({"wide": True} if self.wide else {}),
            "not_finite": "inf",
            "names": self.names,
            "layer_names": self.layer_names,
            "groups": self.groups,
            **({} if place is None else {"run_id": meta.get("id"), "place": place}),
            "run": meta,
            **({} if place is None else {TEXT_KEY: BLANK}),
        }
        return pa.schema(fields, metadata={KEY: strict_json.dumps(facts).encode()})

    @classmethod
    def from_schema(cls, schema: pa.Schema, source: object) -> tuple[Self, Origin]:
        """Returns the layout and the origin in a schema that ``schema`` has made.

        Raises:
            NotARun: gradlens did not write the schema.
            RunTooNew: It is of a later version.
            RunError: The columns do not fit the description.
        """
        facts = _facts(schema, source)
        names, layer_names, groups = (_texts(facts[key]) for key in ("names", "layer_names", "groups"))
        session, wide = int(facts.get("session", 0)), bool(facts.get("wide", False))
        layout = cls(names, layer_names, groups, session, wide, "not_finite" in facts)
        expected = layout.schema({})
        if not schema.equals(expected, check_metadata=False):
            found, wanted = ", ".join(map(str, schema)), ", ".join(map(str, expected))
            raise RunError(f"{source} has columns {found}; its description asks for {wanted}; the file is damaged")
        return layout, Origin.of(facts)


def pack(layout: RowLayout, m: Measurement) -> tuple[Any, ...]:
    """Checks a measurement and returns its row. The row holds copies, so the caller may reuse its arrays.

    Raises:
        RunError: The shapes of the arrays do not fit the vectors, the layers or the groups.
    """
    V, K, L = len(layout.names), len(layout.groups), len(layout.layer_names)
    gram, layers = np.asarray(m.gram, dtype=np.float64), m.layers
    if gram.shape != (V, V):
        raise RunError(f"step {m.step}: gram has shape {gram.shape}; {V} vectors ({', '.join(m.names)}) need {(V, V)}")
    if m.step < 0:
        raise RunError(f"step is {m.step}; steps count from 0")
    packed_layers = None
    if layers is not None:
        layers = np.asarray(layers, dtype=np.float64 if layout.wide else np.float32)
        if layers.shape != (L, V, V):
            raise RunError(f"step {m.step}: layers has shape {layers.shape}; {L} layer names need {(L, V, V)}")
        packed_layers = layers.reshape(L, V * V).take(layout.triangle, axis=1)
    rows = []
    for label, values in (("counts", m.counts), ("loss", m.loss), ("correct", m.correct)):
        row = np.array(values, dtype=np.float64)
        if row.shape != (K,):
            raise RunError(
                f"step {m.step}: {label} has shape {row.shape}; {K} groups ({', '.join(layout.groups)}) need {(K,)}"
            )
        rows.append(row)
    epoch = NO_EPOCH if m.epoch is None else int(m.epoch)
    facts = (float(m.residual), float(m.total_loss), float(m.seconds), int(m.exponent))
    return (int(m.step), float(m.time), epoch, gram.reshape(-1).take(layout.triangle), packed_layers, *rows, *facts)


def record_batch(layout: RowLayout, schema: pa.Schema, rows: list[tuple[Any, ...]]) -> pa.RecordBatch:
    """Returns the rows of ``pack`` as one Arrow batch."""
    columns = dict(zip(("step", "time", "epoch", "gram", "layers", *_PLAIN), zip(*rows, strict=True), strict=True))
    arrays = []
    for name, (dtype, shape) in layout.widths.items():
        missing = None
        if name == "layers":
            missing = np.array([value is None for value in columns[name]])
            none = np.full(shape, np.nan, dtype=dtype)
            values = np.array([none if value is None else value for value in columns[name]])
        else:
            values = np.array(columns[name], dtype=dtype)
        if not shape:
            arrays.append(_numbers(values, values == NO_EPOCH if name == "epoch" else None))
            continue
        # Only entries of a Gram matrix may be absent. A loss that is NaN was measured.
        child = _numbers(values.reshape(-1), np.isnan(values).reshape(-1) if name in ("gram", "layers") else None)
        kind = pa.list_(child.type, math.prod(shape))
        validity, nulls = _validity(missing)
        arrays.append(pa.Array.from_buffers(kind, len(rows), [validity], nulls, children=[child]))
    return pa.record_batch(arrays, schema=schema)


def _facts(schema: pa.Schema, source: object) -> dict[str, Any]:
    try:
        facts = strict_json.loads((schema.metadata or {})[KEY])
        if facts["format"] != FORMAT:
            raise KeyError("format")
        version = int(facts["schema"])
    except (KeyError, TypeError, ValueError) as error:
        raise NotARun(f"{source} is an Arrow file that gradlens did not write") from error
    if version > WIDE_VERSION:
        raise RunTooNew(
            f"{source} has schema version {version}; this gradlens reads versions up to {WIDE_VERSION}: update gradlens"
        )
    return dict(facts)


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError("its description holds something else than names")
    return tuple(map(printable, value))


def _numbers(values: NDArray[Any], absent: NDArray[np.bool_] | None) -> pa.Array:
    # Made from buffers: pa.array would import pandas if it is installed, and take a second from the training.
    validity, nulls = _validity(absent)
    return pa.Array.from_buffers(_ARROW[values.dtype.str], len(values), [validity, pa.py_buffer(values)], nulls)


def _validity(absent: NDArray[np.bool_] | None) -> tuple[pa.Buffer | None, int]:
    nulls = 0 if absent is None else int(absent.sum())
    if absent is None or not nulls:
        return None, 0
    return pa.py_buffer(np.packbits(~absent, bitorder="little")), nulls


_ARROW = {"<i8": pa.int64(), "<i4": pa.int32(), "<f8": pa.float64(), "<f4": pa.float32()}
_PLAIN = ("counts", "loss", "correct", "residual", "total_loss", "seconds", "exponent")
