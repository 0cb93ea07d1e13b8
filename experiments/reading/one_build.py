"""Reads or writes a long run with one build of gradlens: the one on PYTHONPATH. It runs as a separate process."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import numpy as np
from dashboard.long_run import GROUPS, START, make_long_run, measurement

from gradlens.runlog import Run, RunMeta, RunWriter

WRITTEN = 4000


def read(folder: Path) -> dict[str, float]:
    """Opens a run, reads a curve of the whole model, then a curve of a layer. Returns CPU seconds since the beginning."""
    begin = time.process_time()
    run = Run(folder)
    found = {"open": time.process_time() - begin}
    curve = run.cosine("tail")
    found["open and a curve"] = time.process_time() - begin
    layer = run.cosine("tail", layer=run.layers[3])
    found["open, a curve and one of a layer"] = time.process_time() - begin
    if not (len(curve) == len(layer) == len(run)) or run.warnings:
        raise SystemExit(f"{folder} was not read as it was written: {run.warnings}")
    return found


def write(folder: Path, layers: int) -> dict[str, float]:
    """Writes a run. Returns CPU microseconds per measured step, of the training's thread and of the whole process."""
    rng = np.random.default_rng(0)
    names = tuple(f"layer{i}" for i in range(layers))
    writer = RunWriter(folder, RunMeta.here(GROUPS.to_json(), layer_names=names, started=START))
    one = measurement(rng, layers, (*GROUPS.names, "rest"))
    made = [replace(one, step=step, time=START + step) for step in range(WRITTEN)]
    process, thread = time.process_time(), time.thread_time()
    for each in made:
        writer.append(each)
    found = {"append": time.thread_time() - thread}
    writer.close()
    found["append, flush and close"] = time.process_time() - process
    if len(Run(folder)) != WRITTEN:
        raise SystemExit(f"{folder} does not hold what was written")
    return {name: 1e6 * seconds / WRITTEN for name, seconds in found.items()}


def main() -> None:
    """Runs the task of the command line ("make", "read" or "write") and prints its results as JSON."""
    what, folder, *numbers = sys.argv[1:]
    if what == "make":
        steps, layers, seed = map(int, numbers)
        found: dict[str, float] = {"bytes": make_long_run(Path(folder), steps, layers, seed)}
    elif what == "read":
        found = read(Path(folder))
    else:
        found = write(Path(folder), int(numbers[0]))
    print(json.dumps(found))


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    main()
