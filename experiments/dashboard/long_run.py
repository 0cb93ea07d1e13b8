"""Writes a run of very many measured steps fast. Its rows are drawn from a pool of Gram matrices of random vectors."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from gradlens.groups import ClassGroups
from gradlens.metrics.measurement import Measurement
from gradlens.runlog import Run, RunMeta, RunWriter
from gradlens.runlog.format.schema import RowLayout, pack
from gradlens.runlog.writing.append import BATCH_ROWS, SegmentSink

GROUPS = ClassGroups({"head": range(35), "medium": range(35, 70), "tail": range(70, 100)}, 100)
POOL = 2048
STEPS_PER_EPOCH = 1000
START = 1_700_000_000.0


def make_long_run(path: Path, steps: int, layers: int, seed: int) -> int:
    """Writes a finished run of head, medium and tail and returns its bytes on disk.

    Afterwards its files are in the file cache.
    """
    rng = np.random.default_rng(seed)
    names = tuple(f"block{i // 4}.conv{i % 4}" for i in range(layers))
    meta = RunMeta.here(GROUPS.to_json(), layer_names=names, started=START, engine="masked", cadence="every step")
    writer = RunWriter(path, meta)
    writer.close()
    layout = RowLayout((*GROUPS.names, "rest"), names, GROUPS.names)
    pool = [pack(layout, measurement(rng, layers, layout.names)) for _ in range(POOL)]
    sink = SegmentSink(path, layout, writer.meta.to_json())
    for start in range(0, steps, BATCH_ROWS):
        rows = []
        for step, drawn in enumerate(rng.integers(POOL, size=min(BATCH_ROWS, steps - start)), start):
            rows.append((step, START + 0.1 * step, step // STEPS_PER_EPOCH, *pool[drawn][3:]))
        sink.write(rows)
    sink.close()
    for file in path.iterdir():
        with file.open("rb") as content:
            while content.read(1 << 24):
                pass
    return sum(os.path.getsize(file) for file in path.iterdir())


def measurement(rng: np.random.Generator, layers: int, names: tuple[str, ...]) -> Measurement:
    """Returns a measurement with random gradients of 12 weights per layer. The groups share a direction, apart from noise."""
    V = len(names)
    strength = np.array([1.0, 0.5, 0.2, 1e-4])[:V, None]
    vectors = strength * (0.4 + rng.standard_normal((layers, V, 12)))  # [L, V, 12]
    gram = vectors @ vectors.transpose(0, 2, 1)  # [L, V, V]
    counts = rng.multinomial(128, [0.75, 0.2, 0.05]).astype(float) + 1.0
    return Measurement(
        step=0, time=0.0, epoch=None, names=names, gram=gram.sum(0), layers=gram.astype(np.float32), counts=counts,
        loss=counts * rng.uniform(0.5, 2.0, 3), correct=np.floor(counts * rng.uniform(0, 1, 3)), residual=1e-7,
        total_loss=float(rng.uniform(0.5, 2.0)), seconds=0.01,
    )  # fmt: skip


def grow(writer: RunWriter, run: Run, rows: int) -> None:
    """Adds rows after the last step of a run, and waits until they are on disk."""
    run.refresh()
    rng = np.random.default_rng(len(run))
    first, made = int(run.steps[-1]) + 1, [measurement(rng, len(run.layers), run.names) for _ in range(rows)]
    for step, one in enumerate(made, first):
        writer.append(replace(one, step=step, time=START + 0.1 * step, epoch=step // STEPS_PER_EPOCH))
    writer.flush()
