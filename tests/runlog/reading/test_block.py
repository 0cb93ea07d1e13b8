"""Messages of one kind that follow each other are one block."""

import numpy as np

from gradlens.runlog import Run, RunWriter
from tests.runlog.made import LAYERS, measurement, meta


def test_small_flushes_make_readable_blocks(tmp_path):
    rng = np.random.default_rng(0)
    writer, step = RunWriter(tmp_path / "run", meta(layer_names=LAYERS)), 0
    for _ in range(200):
        for _ in range(int(rng.integers(1, 6))):
            absent = ("tail",) if rng.random() < 0.3 else ()
            writer.append(measurement(step, layers=rng.random() < 0.8, absent=absent))
            step += 1
        writer.flush()
    writer.close()
    run = Run(tmp_path / "run")
    assert run.steps.tolist() == list(range(step))
    present = ~np.isnan(run.cosine("tail"))
    expected = np.array([measurement(s).gram for s in range(step)])
    np.testing.assert_array_equal(run.gram()[present], expected[present])
    rows = run.sample(123)
    np.testing.assert_array_equal(run.by_layer("cosine", "tail", rows)[:, 1], run.cosine("tail", "fc")[rows])
