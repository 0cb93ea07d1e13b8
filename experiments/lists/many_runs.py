"""Writes many runs with one build of gradlens: the one on PYTHONPATH. It runs as a separate process.

    python many_runs.py FOLDER RUNS SEED MEASURED...

One run of each length is written in full. The others have the same files, as hard links: 2,000 long runs need little room on the
disk, and each is a folder of its own.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from gradlens.groups import ClassGroups
from gradlens.runlog import RunMeta, RunWriter

GROUPS = ClassGroups({"head": range(70), "tail": range(70, 100)}, num_classes=100)
NAMES = (*GROUPS.names, "rest")
START = 1_700_000_000.0


def measurement(**values: Any) -> Any:
    """Returns a measurement of this build."""
    try:
        from gradlens.metrics.measurement import Measurement
    except ImportError:  # the earlier build has it elsewhere
        from gradlens.gram import Measurement  # type: ignore[attr-defined, no-redef]
    return Measurement(**values)


def write_run(folder: Path, measured: int, seed: int) -> None:
    """Writes a finished run with a phase and an evaluation in each quarter."""
    rng = np.random.default_rng(seed)
    facts = {"method": "cross-entropy", "dataset": "cifar100-lt", "engine": "split", "seed": seed, "git_commit": None}
    writer = RunWriter(folder, RunMeta.here(GROUPS.to_json(), **facts))
    quarter = max(measured // 4, 1)
    for step in range(measured):
        if step % quarter == 0:
            writer.event("phase", step, name=f"quarter {step // quarter + 1}")
            writer.event("evaluation", step, overall=float(rng.uniform(30, 60)))
        vectors = rng.normal(size=(len(NAMES), 8)) + np.array([1.0, 0.4, 0.0])[:, None]
        vectors[-1] = 0.0  # the rest
        writer.append(
            measurement(
                step=step, time=START + step, epoch=step // quarter, names=NAMES, gram=vectors @ vectors.T, layers=None,
                counts=np.array([50.0, 14.0]), loss=rng.uniform(0, 3, 2), correct=np.ones(2), residual=1e-7,
                total_loss=1.0, seconds=0.001,
            )
        )  # fmt: skip
    writer.close()


def link_run(of: Path, folder: Path) -> None:
    """Makes a run with the files of another one."""
    folder.mkdir()
    for file in of.iterdir():
        os.link(file, folder / file.name)


def main() -> None:
    """Writes the runs of the command line."""
    folder, runs, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    lengths = [int(length) for length in sys.argv[4:]]
    for place in range(runs):
        path = folder / f"run-{place:04d}"
        if place < len(lengths):
            write_run(path, lengths[place], seed + place)
        else:
            link_run(folder / f"run-{place % len(lengths):04d}", path)


if __name__ == "__main__":
    main()
