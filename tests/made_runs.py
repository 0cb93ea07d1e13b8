"""Runs made of random gradient vectors, for tests of what is computed and drawn; the Grams are those of real vectors."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from gradlens.groups import ClassGroups
from gradlens.metrics.measurement import Measurement
from gradlens.runlog import Run, RunMeta, RunWriter
from gradlens.runlog.format.description import read_meta, write_meta

HEAD_TAIL = ClassGroups({"head": range(70), "tail": range(70, 100)}, 100)
START = 1_700_000_000.0


def make_run(
    path: Path,
    *,
    steps: int = 200,
    groups: ClassGroups = HEAD_TAIL,
    weights: tuple[float, ...] = (1.0, 0.15),
    noise: tuple[float, ...] = (0.1, 0.1),
    absent: float = 0.0,
    layers: int = 0,
    update: bool = False,
    components: tuple[str, ...] = (),
    epochs: int | None = 10,
    every: int = 1,
    seed: int = 0,
    status: str | None = "finished",
    started: float = START,
    meta: dict | None = None,
) -> Run:
    """Writes and opens a run whose group k has the gradient weights[k] * (common + own direction) + noise[k] * fresh noise.

    ``absent`` is the probability that the last group has no sample in a step.
    """
    rng = np.random.default_rng(seed)
    K, parts, D = len(groups), max(layers, 1), 12
    common, own = rng.standard_normal((parts, D)), rng.standard_normal((K, parts, D))
    vectors = [f"{c}/{g}" for c in components for g in groups.names] or list(groups.names)
    names = (*vectors, "rest", *(["update"] if update else []))
    facts = {
        "command": ("train.py", "--seed", str(seed)),
        "seed": seed,
        "engine": "masked",
        "cadence": f"every {every} steps",
    }
    facts |= {"layer_names": tuple(f"block.{i}.conv" for i in range(layers)), **(meta or {})}
    writer = RunWriter(path, RunMeta.here(groups.to_json(), **facts))
    for t in range(steps):
        progress = t / max(steps - 1, 1)
        g = np.array(
            [
                weights[k % len(weights)] * (1 - 0.5 * progress) * (common + own[k])
                + noise[k % len(noise)] * rng.standard_normal((parts, D))
                for k in range(K)
            ]
        )  # [K, L, D]
        split = np.concatenate([g * (0.7 if c == 0 else 0.3) for c in range(len(components))]) if components else g
        rest = np.full((1, parts, D), 1e-4)
        everything = np.concatenate([split, rest, *([g.sum(0, keepdims=True) * 0.1] if update else [])])
        by_layer = np.einsum("vld,wld->lvw", everything, everything)
        counts = rng.multinomial(
            64, groups.fractions() * np.resize(weights, K) / (groups.fractions() * np.resize(weights, K)).sum()
        ).astype(float)
        counts[:-1] += counts[-1:] == 0
        if rng.random() < absent:
            counts[0] += counts[-1]
            counts[-1] = 0
            gone = [i for i, name in enumerate(names) if name.rpartition("/")[2] == groups.names[-1]]
            by_layer[:, gone, :] = by_layer[:, :, gone] = np.nan
        chance = np.clip(0.2 + 0.6 * progress * np.resize(weights, K), 0, 1)
        writer.append(Measurement(
            step=t * every, time=START + 0.5 * t, epoch=None if epochs is None else t * epochs // steps, names=names,
            gram=by_layer.sum(0), layers=by_layer.astype(np.float32) if layers else None, counts=counts,
            loss=counts * (2.5 - 2 * chance), correct=np.round(counts * chance), residual=1e-7,
            total_loss=float((2.5 - 2 * chance).mean()), seconds=0.01,
        ))  # fmt: skip
    if status is not None:
        writer.close(status)
        write_meta(path, replace(read_meta(path), started=started))
    else:
        writer.flush()
    return Run(path)


def make_pair(folder: Path) -> tuple[Run, Run]:
    """Writes and opens a long-tailed run, in which the tail is absent from some steps, and a balanced one."""
    long_tailed = make_run(folder / "lt", absent=0.2, weights=(1.0, 0.1), meta={"timings": {"overhead": 0.048}})
    return long_tailed, make_run(folder / "balanced", weights=(1.0, 1.0), seed=1)
