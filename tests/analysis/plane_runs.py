"""Runs whose gradients lie in a plane, so that every cosine can be worked by hand."""

import numpy as np

from gradlens.metrics.measurement import Measurement
from gradlens.runlog import Run, RunMeta, RunWriter
from tests.made_runs import HEAD_TAIL


def write(path, heads, tails, counts=(60, 4), groups=HEAD_TAIL):
    """A run with head (a, 0) and tail (0, b) in the plane, for each pair a, b; b = None: no tail sample."""
    writer = RunWriter(path, RunMeta.here(groups.to_json()))
    for t, (a, b) in enumerate(zip(heads, tails, strict=True)):
        present = b is not None
        gram = np.diag([a**2, (b or 0.0) ** 2, 0.0])
        if not present:
            gram[1, :] = gram[:, 1] = np.nan
        n = np.array(counts if present else (sum(counts), 0), dtype=float)
        writer.append(
            Measurement(t, float(t), None, (*groups.names, "rest"), gram, None, n, n, n, 0.0, 1.0, 0.0)
        )  # fmt: skip
    writer.close()
    return Run(path)
