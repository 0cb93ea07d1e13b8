"""probes-NNN.arrow: probes, which are measurements over a whole data set. Each is written at once into a file of its own."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike

from gradlens.groups import ClassGroups
from gradlens.metrics.gram import Floats
from gradlens.metrics.measurement import Measurement
from gradlens.metrics.packed import unpack
from gradlens.runlog.errors import NotARun
from gradlens.runlog.format import strict_json
from gradlens.runlog.format.description import FORMAT, SCHEMA_VERSION, replace_file
from gradlens.runlog.format.names import next_path
from gradlens.runlog.format.regular import open_regular, reason
from gradlens.runlog.format.schema import KEY, RowLayout, pack, record_batch
from gradlens.runlog.format.text_proof import BLANK, TEXT_KEY, intact, proven_text

MOST_BYTES = 1 << 30
PATTERN = re.compile(r"probes-(\d+)\.arrow")


def probed(
    step: int,
    epoch: int | None,
    names: Iterable[str],
    gram: ArrayLike,
    layers: ArrayLike | None,
    counts: ArrayLike,
    loss: ArrayLike,
    correct: ArrayLike,
    seconds: float,
) -> Measurement:
    """Returns the measurement of a probe that is made now; for the arguments see ``RunWriter.probe``."""
    return Measurement(
        step=int(step),
        time=time.time(),
        epoch=epoch,
        names=tuple(names),
        gram=np.array(gram, dtype=np.float64),
        layers=None if layers is None else np.array(layers, dtype=np.float32),
        counts=np.array(counts, dtype=np.float64),
        loss=np.array(loss, dtype=np.float64),
        correct=np.array(correct, dtype=np.float64),
        residual=float("nan"),
        total_loss=float(np.nansum(np.asarray(loss, dtype=np.float64))),
        seconds=float(seconds),
    )


@dataclass(frozen=True, repr=False)
class Probe:
    """One probe.

    Attributes:
        measurement: The numbers: names, gram [V, V], layers [L, V, V] or None, counts, loss, correct [K], step, epoch, time and
            the seconds that it took.
        groups: The probe's own groups, often each class by itself.
        layer_names: Names of the L layers, or ().
        label: Its name, or None.
        session: Number of the training's start that has made it, from 0.
        path: Its file.
    """

    measurement: Measurement
    groups: ClassGroups
    layer_names: tuple[str, ...]
    label: str | None
    session: int
    path: Path

    def __repr__(self) -> str:
        """Returns a short text: step, epoch, number of samples and groups. The arrays would fill a screen."""
        when = f"step {self.step}" + ("" if self.epoch is None else f", epoch {self.epoch}")
        label = "" if self.label is None else f"{self.label!r}, "
        return f"Probe({label}{when}; {self.counts.sum():,g} samples in {len(self.groups)} groups)"

    @property
    def step(self) -> int:
        """The step at which it was made."""
        return self.measurement.step

    @property
    def epoch(self) -> int | None:
        """The epoch in which it was made; None if not known."""
        return self.measurement.epoch

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the V vectors."""
        return self.measurement.names

    @property
    def gram(self) -> Floats:
        """[V, V] inner products. Rows and columns of absent vectors are NaN."""
        return self.measurement.gram

    @property
    def counts(self) -> Floats:
        """[K] samples of each group."""
        return self.measurement.counts


def write_probe(
    folder: Path, m: Measurement, groups: dict[str, Any], facts: dict[str, Any], run: str | None = None
) -> Path:
    """Writes a probe as the next probes-NNN.arrow.

    Args:
        folder: The run's folder.
        m: The measurement.
        groups: ``ClassGroups.to_json()`` of the probe's groups.
        facts: ``layer_names``, ``label`` and ``session``.
        run: The run's id, or None.

    Raises:
        RunError: The shapes of the arrays do not fit.
        OSError: The file system refuses.
    """
    layout = RowLayout(m.names, tuple(facts["layer_names"]), tuple(groups["groups"]))
    schema = layout.schema({})
    described = {"format": FORMAT, "schema": SCHEMA_VERSION, "names": m.names, "class_groups": groups, **facts}
    described |= {"run_id": run, TEXT_KEY: BLANK}
    schema = schema.with_metadata({KEY: strict_json.dumps(described).encode()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as writer:
        writer.write_batch(record_batch(layout, schema, [pack(layout, m)]))
    path = next_path(folder, "probes", "arrow")
    replace_file(path, proven_text(sink.getvalue().to_pybytes()))
    return path


def read_probe(path: Path, run: str | None = None) -> Probe:
    """Reads a probe.

    Args:
        path: The file.
        run: Id of the run that it must belong to, or None.

    Raises:
        NotARun: The file was not written by gradlens, belongs to another run, is of a later version, or is damaged.
    """
    try:
        with open_regular(path, MOST_BYTES) as opened:
            data = opened.read()
        proven = intact(data)
        if proven is False or (proven is None and run is not None):
            raise NotARun(f"{path} is damaged: it is not what gradlens wrote")
        with pa.ipc.open_file(pa.py_buffer(data)) as reader:
            facts = strict_json.loads((reader.schema.metadata or {})[KEY])
            if facts["format"] != FORMAT or facts["schema"] > SCHEMA_VERSION:
                raise NotARun(
                    f"{path} has format {facts['format']} {facts['schema']}, which this gradlens does not read"
                )
            row = reader.get_batch(0)
            row.validate(full=True)
        facts = strict_json.readable(facts)
        if run is not None and facts.get("run_id") != run:
            raise NotARun(f"{path} belongs to another run")
        groups = ClassGroups.from_json(facts["class_groups"])
        layers = tuple(facts["layer_names"])
        m = _measurement(row, tuple(facts["names"]), len(layers))
        label = facts.get("label")
        return Probe(m, groups, layers, None if label is None else str(label), int(facts.get("session", 0)), path)
    except NotARun:
        raise
    except OSError as error:
        raise NotARun(f"{path} cannot be read: {reason(error)}") from error
    except (pa.ArrowException, ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
        raise NotARun(f"{path} is damaged or no probe: {error!r}") from error


def _measurement(row: pa.RecordBatch, names: tuple[str, ...], L: int) -> Measurement:
    V = len(names)

    def values(column: str) -> Floats:
        return np.array(row.column(column)[0].as_py(), dtype=np.float64)

    layers = None
    if L and row.column("layers")[0].is_valid:
        layers = unpack(values("layers").reshape(L, -1), V).astype(np.float32)
    return Measurement(
        step=row.column("step")[0].as_py(),
        time=row.column("time")[0].as_py(),
        epoch=row.column("epoch")[0].as_py(),
        names=names,
        gram=unpack(values("gram")[None], V)[0],
        layers=layers,
        counts=values("counts"),
        loss=values("loss"),
        correct=values("correct"),
        residual=row.column("residual")[0].as_py(),
        total_loss=row.column("total_loss")[0].as_py(),
        seconds=row.column("seconds")[0].as_py(),
    )


def probes_in_force(probes: Iterable[Probe], starts: Mapping[int, int]) -> list[Probe]:
    """Returns the probes that no later session supersedes, in the order of their steps.

    Args:
        probes: All probes of a run.
        starts: Number of a session -> the step at which it began.
    """
    kept = [probe for probe in probes if all(probe.step < at for s, at in starts.items() if s > probe.session)]
    return sorted(kept, key=lambda probe: probe.step)
