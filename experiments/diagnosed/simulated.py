"""Trainings made of random vectors, whose truth is known: runs are written with the package's own writer.

The mean gradient of group k has the direction ``pulls[k]``. A step draws n_k of B samples; the group's contribution is
n_k / B * pulls[k] plus noise whose size falls with the root of the samples. The optimizer takes off what it is told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradlens.groups import ClassGroups
from gradlens.metrics.measurement import Measurement
from gradlens.runlog import Run, RunMeta, RunWriter

Floats = NDArray[np.float64]
SIZE = 24
GROUPS = ClassGroups({"head": range(5), "tail": range(5, 10)}, 10)
LAYERS = ("body", "classifier")


def falling(progress: float) -> Floats:
    """Returns the loss of a sample of each group in a training that learns both."""
    return np.full(2, 2.3 * np.exp(-4 * progress) + 0.05)


@dataclass(frozen=True)
class Training:
    """A simulated training. The default is a balanced one in which nothing is wrong.

    Attributes:
        steps: Number of steps; all are measured.
        data: Images of each of the ten classes, or None: not known.
        drawn: Part of each group in the batches, at a fraction of the training.
        pulls: [2, 2] the mean gradients of both groups in a plane of the parameters.
        noise: Size of the noise of one sample's gradient.
        loss: The loss of a sample of each group at a fraction of the training.
        momentum: Of the optimizer.
        scaling: What the optimizer multiplies both directions of the plane with.
        rate: Learning rate at a fraction of the training; below 0 it climbs.
        update: Whether the update is recorded.
        clustered: How many steps in a row hold the same group alone; 0 = shuffled.
        broken: Steps whose gradient is not finite.
        processes: Number of processes.
        same_samples: Whether all processes draw the same samples.
        loss_part: What the trained loss is multiplied with.
        other_gradient: Part of the steps in which the optimizer steps on another gradient.
        clipped: Part of the steps in which the gradient is clipped.
        phases: (name, first step) of each phase.
        batch: Samples of a step.
        conflict_since: From this fraction of the training on the tail pulls the other way; None: never.
    """

    steps: int = 400
    data: tuple[int, ...] | None = (500,) * 10
    drawn: Callable[[float], Sequence[float]] = lambda _: (0.5, 0.5)
    pulls: tuple[tuple[float, float], tuple[float, float]] = ((1.0, 0.3), (0.3, 1.0))
    noise: float = 1.0
    loss: Callable[[float], Floats] = falling
    momentum: float = 0.0
    scaling: tuple[float, float] = (1.0, 1.0)
    rate: Callable[[float], float] = lambda _: 0.01
    update: bool = True
    clustered: int = 0
    broken: tuple[int, ...] = ()
    processes: int = 1
    same_samples: bool = False
    loss_part: float = 1.0
    other_gradient: float = 0.0
    clipped: float = 0.0
    phases: tuple[tuple[str, int], ...] = ()
    batch: int = 64
    conflict_since: float | None = None
    events: tuple[dict[str, Any], ...] = field(default=())

    def but(self, **changes: Any) -> Training:
        """Returns a training with other attributes."""
        return replace(self, **changes)


def simulate(path: Path, training: Training, seed: int = 0) -> Run:
    """Writes the run of a training, and opens it."""
    rng = np.random.default_rng(seed)
    names = ("head", "tail", "rest", *(["update"] if training.update else []))
    writer = RunWriter(
        path,
        RunMeta(GROUPS.to_json(), class_counts=training.data, layer_names=LAYERS, extra={"steps": training.steps}),
    )
    if training.processes > 1:
        writer.event("processes", 0, processes=training.processes, gradients="averaged by DistributedDataParallel")
    for name, start in training.phases:
        writer.event("phase", start, name=name)
    velocity = np.zeros((2, SIZE))
    for step in range(training.steps):
        velocity = _write_step(writer, training, names, step, velocity, rng)
    writer.close()
    return Run(path)


def _write_step(
    writer: RunWriter, training: Training, names: tuple[str, ...], step: int, velocity: Floats, rng: np.random.Generator
) -> Floats:
    progress = step / max(training.steps - 1, 1)
    counts = _counts(training, step, progress, rng)
    whole = counts.sum()
    vectors = np.zeros((2, 2, SIZE))  # [group, layer, parameter]
    for k in range(2):
        pull = np.array(training.pulls[k])
        if k == 1 and training.conflict_since is not None and progress >= training.conflict_since:
            pull = -np.array(training.pulls[0]) + 0.3 * pull
        vectors[k, :, :2] = counts[k] / whole * pull
        vectors[k] += training.noise * np.sqrt(counts[k]) / whole * rng.standard_normal((2, SIZE)) / np.sqrt(2 * SIZE)
    gradient = vectors.sum(0)
    velocity = training.momentum * velocity + gradient
    taken = velocity.copy()
    taken[:, :2] *= np.array(training.scaling)
    everything = [*vectors, np.zeros((2, SIZE)), *([training.rate(progress) * taken] if training.update else [])]
    layers = np.einsum("vlp,wlp->lvw", everything, everything)
    if step in training.broken:
        layers[:, :2, :] = layers[:, :, :2] = np.inf
        writer.event("nonfinite", step, message="the gradient is not finite")
    for k in np.flatnonzero(counts == 0):
        layers[:, k, :] = layers[:, :, k] = np.nan
    if rng.random() < training.other_gradient:
        writer.event("stepped", step, message="what the optimizer steps on is not what was measured")
    if rng.random() < training.clipped:
        writer.event("stepped scale", step, scale=0.3)
    each = training.loss(progress) * (1 + 0.1 * rng.standard_normal(2))
    loss = counts * each
    writer.append(
        Measurement(
            step=step, time=1.7e9 + step, epoch=None, names=names, gram=layers.sum(0), layers=layers.astype(np.float32),
            counts=counts, loss=loss, correct=np.round(counts * np.exp(-each)), residual=1e-7,
            total_loss=float(training.loss_part * loss.sum() / whole), seconds=0.001,
        )
    )  # fmt: skip
    return velocity


def _counts(training: Training, step: int, progress: float, rng: np.random.Generator) -> Floats:
    parts = np.array(training.drawn(progress), dtype=np.float64)
    if training.clustered:
        first = (step // training.clustered) % 2 == 0
        parts = np.array([1.0, 0.0] if first else [0.0, 1.0])
    if training.processes > 1 and training.same_samples:
        return np.asarray(
            training.processes * rng.multinomial(training.batch // training.processes, parts), dtype=np.float64
        )
    return np.asarray(rng.multinomial(training.batch, parts), dtype=np.float64)
