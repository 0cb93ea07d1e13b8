"""Exports a run for other tools: as a Parquet or CSV table, or as TensorBoard scalars."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gradlens.metrics.catalogue import of_groups, of_vectors
from gradlens.metrics.gram import UPDATE
from gradlens.runlog import Run, RunError

# The formats that a file's ending names.
ENDINGS = {".parquet": "parquet", ".csv": "csv"}
# A table is made of at most this many rows at a time.
CHUNK = 65_536

# A column: its name, [T] values, and [T] whether a NaN was measured. Other NaNs are missing values.
Column = tuple[str, NDArray[Any], NDArray[np.bool_]]


def export(run: Run, to: str, out: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Writes a run's measured steps, one row for each.

    The columns:

    - step, time, epoch, phase, residual, total_loss, seconds, share_distance, norm/all;
    - count/GROUP, loss/GROUP and correct/GROUP: sums over the group's samples;
    - NAME/GROUP: the quantities of the catalogue; and cosine/, norm/ and share/ for all other vectors;
    - gram/A:B: the inner products.

    What the training logged itself goes into a second file beside it (NAME-logged.csv), if there is any: step, time, name, value.
    TensorBoard gets it as logged/NAME.

    Absent values are empty, and so is a cosine or share of a gradient that is zero. A value that was measured and is not finite
    is NaN (an inner product: inf). Layers and probes are not exported (``Run`` reads them). TensorBoard gets the scalars without
    the inner products, at their step and time.

    Args:
        run: The run.
        to: "parquet", "csv" or "tensorboard".
        out: The file to write, or TensorBoard's folder.
        overwrite: Whether to replace an existing file.

    Returns:
        ``out``.

    Raises:
        RunError: The format is unknown, ``out`` has the ending of another one, exists or cannot be written, or TensorBoard is not
            installed.
    """
    writers: dict[str, Callable[[Run, Path], None]] = {"parquet": _parquet, "csv": _csv, "tensorboard": _tensorboard}
    if to not in writers:
        raise RunError(f"cannot export to {to!r}; choose one of {', '.join(writers)}")
    out, beside = Path(out), logged_beside(Path(out))
    named = ENDINGS.get(out.suffix.lower(), to)
    if named != to:
        raise RunError(f"{out} is named as {named}, and {to} was asked for; change the ending, or export to {named}")
    taken = any(out.iterdir()) if to == "tensorboard" and out.is_dir() else out.exists()
    second = bool(run.logged_names) and to != "tensorboard"
    for path in [path for path, is_taken in ((out, taken), (beside, second and beside.exists())) if is_taken]:
        if not overwrite:
            raise RunError(f"{path} already exists; choose another file, or remove it first")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        writers[to](run, out)
        if second:
            _logged(run, to, beside)
    except OSError as error:
        raise RunError(f"cannot write {out}: {error.strerror or error}") from error
    return out


def format_of(to: str | None, out: Path | None) -> str:
    """Returns the format to export to.

    Args:
        to: The format that was asked for; None = the ending of ``out`` decides, and without one it is "parquet".
        out: The file to write; None if it is not named.

    Raises:
        RunError: No format was asked for, and the ending is that of no table.
    """
    ending = "" if out is None else out.suffix.lower()
    if to is not None or not ending:
        return to or "parquet"
    if ending not in ENDINGS:
        raise RunError(
            f"{out} ends in {ending}, which is no format; end it in .parquet or .csv, or say which with --to"
        )
    return ENDINGS[ending]


def logged_beside(out: Path) -> Path:
    """Returns the path of the second file of an export: what the training logged itself."""
    return out.with_name(f"{out.stem}-logged{out.suffix}")


def scalars(run: Run) -> Iterator[Column]:
    """Yields the columns of numbers, except step, time and inner products."""
    broken = run.nonfinite()
    never, always = np.zeros_like(broken), np.ones_like(broken)
    yield "epoch", run.epoch, never
    yield "residual", run.residual, broken
    yield "total_loss", run.total_loss, always
    yield "seconds", run.seconds, never
    yield "share_distance", run.share_distance(), broken
    yield "norm/all", run.norm("all"), broken
    for k, group in enumerate(run.groups.names):
        own = run.nonfinite(group)
        yield f"count/{group}", run.counts[:, k], never
        yield f"loss/{group}", run.loss[:, k], own
        yield f"correct/{group}", run.correct[:, k], never
    for name in dict.fromkeys((*run.groups.names, *run.names)):
        own, there = run.nonfinite(name), ~np.isnan(run.norm(name))
        against = own | (broken & there)  # a finite vector has no cosine with a gradient that is not finite
        for quantity in of_groups(recorded=run.names) if name in run.groups.names else of_vectors():
            if quantity.percent and name == UPDATE:  # the update is no part of the gradient, so it has no share of it
                continue
            yield (
                f"{quantity.name}/{name}",
                run.quantity(quantity.name, name),
                own if quantity.about == "training" else against,
            )


def tables(run: Run) -> Iterator[pa.Table]:
    """Yields the whole table in parts of at most ``CHUNK`` rows, at least one part."""
    steps, times, phases = run.steps, run.time, _phases(run)
    columns = list(scalars(run))
    names = run.names
    pairs = [(a, b) for a in range(len(names)) for b in range(a, len(names))]
    for start in range(0, max(len(steps), 1), CHUNK):
        rows = slice(start, min(start + CHUNK, len(steps)))
        gram = run.gram(rows=rows)
        data = {"step": pa.array(steps[rows], pa.int64()), "time": _numbers(times[rows])}
        data["phase"] = pa.array(phases[rows], pa.string())
        data |= {name: _numbers(values[rows], measured[rows]) for name, values, measured in columns}
        data |= {f"gram/{names[a]}:{names[b]}": _numbers(gram[:, a, b]) for a, b in pairs}
        yield pa.table(data)


def _numbers(values: NDArray[Any], measured: NDArray[np.bool_] | bool = False) -> pa.Array:
    return pa.array(np.ascontiguousarray(values, dtype=np.float64), mask=np.isnan(values) & ~np.asarray(measured))


def _phases(run: Run) -> list[str | None]:
    steps = run.steps
    named: list[str | None] = [None] * len(steps)
    for phase in run.phases:
        low = int(np.searchsorted(steps, phase.start))
        high = len(steps) if phase.end is None else int(np.searchsorted(steps, phase.end))
        named[low:high] = [phase.name] * (high - low)
    return named


def _parquet(run: Run, out: Path) -> None:
    from pyarrow import parquet

    parts = tables(run)
    first = next(parts)
    facts = {b"gradlens.run": run.name.encode(), b"gradlens.groups": repr(run.groups).encode()}
    schema = first.schema.with_metadata(facts)
    with _in_place_of(out) as temporary, parquet.ParquetWriter(temporary, schema) as writer:
        for part in (first, *parts):
            writer.write_table(part.replace_schema_metadata(facts))


def _csv(run: Run, out: Path) -> None:
    from pyarrow import csv

    parts = tables(run)
    first = next(parts)
    with _in_place_of(out) as temporary, csv.CSVWriter(temporary, first.schema) as writer:
        for part in (first, *parts):
            writer.write_table(part)


def _logged(run: Run, to: str, out: Path) -> None:
    """Writes what the training logged itself, a row for each value, in the order of the names."""
    found = [(name, run.logged(name)) for name in run.logged_names]
    names = [name for name, kept in found for _ in range(len(kept))]
    steps, time, values = (
        np.concatenate([getattr(kept, column) for _, kept in found]) for column in ("steps", "time", "values")
    )
    rows = {
        "step": pa.array(steps),
        "time": _numbers(time),
        "name": pa.array(names, pa.string()),
        "value": pa.array(values),
    }
    with _in_place_of(out) as temporary:
        if to == "csv":
            from pyarrow import csv

            csv.write_csv(pa.table(rows), temporary)
        else:
            from pyarrow import parquet

            parquet.write_table(pa.table(rows), temporary)


def _tensorboard(run: Run, out: Path) -> None:
    try:
        from tensorboard.compat.proto.summary_pb2 import Summary
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise RunError(
            "export to tensorboard needs the package tensorboard; it comes with the extra dev: pip install -e '.[dev]' in the "
            f"checkout ({error})"
        ) from error
    columns = list(scalars(run))
    with SummaryWriter(str(out)) as writer:
        for row, (step, at) in enumerate(zip(run.steps.tolist(), run.time.tolist(), strict=True)):
            # One record for all numbers of a step. TensorBoard draws a mark for NaN, so a NaN is written only if it was measured.
            present = [(name, float(v[row])) for name, v, measured in columns if measured[row] or not np.isnan(v[row])]
            summary = Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in present])
            writer.file_writer.add_summary(summary, step, at)
        for name in run.logged_names:
            kept = run.logged(name)
            for step, at, number in zip(kept.steps.tolist(), kept.time.tolist(), kept.values.tolist(), strict=True):
                writer.file_writer.add_summary(
                    Summary(value=[Summary.Value(tag=f"logged/{name}", simple_value=number)]), step, at
                )
        for phase in run.phases:
            writer.add_text("phase", phase.name, phase.start)


@contextmanager
def _in_place_of(out: Path) -> Iterator[str]:
    """Yields a temporary path beside ``out``, and renames it to ``out`` at the end. A failed export leaves nothing behind."""
    temporary = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        yield str(temporary)
        os.replace(temporary, out)
    finally:
        temporary.unlink(missing_ok=True)
