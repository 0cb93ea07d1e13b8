"""Measurements made from gradient vectors that are known, so that every quantity has an independent value."""

import contextlib
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from gradlens.groups import ClassGroups
from gradlens.metrics.measurement import Measurement
from gradlens.runlog import RunMeta, RunWriter

GROUPS = ClassGroups({"head": [0, 1, 2], "tail": [3]}, num_classes=4)


NAMES = ("head", "tail", "rest")


LAYERS = ("conv", "fc")


SEGMENT = "measurements-000.arrows"


SIZES = (5, 7)  # parameters of each layer


def vectors_at(step: int, V: int = 3) -> list[np.ndarray]:
    """Per layer [V, parameters] float64 gradient vectors of a step, the same whenever they are asked for."""
    rng = np.random.default_rng([step, V])
    return [rng.normal(size=(V, size)) for size in SIZES]


def measurement(
    step: int,
    *,
    names: tuple[str, ...] = NAMES,
    absent: tuple[str, ...] = (),
    layers: bool = False,
    at: float | None = None,
) -> Measurement:
    grams = np.stack([v @ v.T for v in vectors_at(step, len(names))])
    for name in absent:
        grams[:, names.index(name), :] = grams[:, :, names.index(name)] = np.nan
    return Measurement(
        step=step,
        time=1e9 + step if at is None else at,
        epoch=None if step % 7 == 0 else step // 10,
        names=names,
        gram=grams.sum(0),
        layers=grams.astype(np.float32) if layers else None,
        counts=np.array([6.0, 0.0 if "tail" in absent else 2.0]),
        loss=np.array([0.25 * step, np.nan]),
        correct=np.array([3.0, 1.0]),
        residual=1e-7 * step,
        total_loss=float(step),
        seconds=0.001,
    )


def meta(**facts) -> RunMeta:
    return RunMeta(GROUPS.to_json(), **facts)


def write_run(path: Path, steps, *, close: bool = True, resume: bool = False, **options) -> RunWriter:
    facts = {"layer_names": LAYERS} if options.get("layers") else {}
    writer = RunWriter(path, meta(**facts), resume=resume)
    for step in steps:
        writer.append(measurement(step, **options))
    writer.flush()
    if close:
        writer.close()
    return writer


def wait_for(condition, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.02)


def batch_ends(path: Path) -> dict[int, int]:
    """Byte after each batch -> rows up to there, by Arrow's own reader."""
    ends = {}
    with pa.memory_map(str(path / SEGMENT)) as file:
        reader, rows = pa.ipc.open_stream(file), 0
        for batch in reader:
            rows += batch.num_rows
            ends[file.tell()] = rows
    return ends


def fill(folder: Path) -> None:
    """Fills a small disk to its last byte."""
    with open(folder / "ballast", "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def whole(step, V=3):
    return np.concatenate(vectors_at(step, V), axis=1)  # [V, parameters]


def cosine(a, b):
    return a @ b / np.sqrt((a @ a) * (b @ b))
