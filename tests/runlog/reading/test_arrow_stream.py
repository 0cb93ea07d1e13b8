"""The messages of a segment: what damage costs."""

import numpy as np
import pyarrow as pa
import pytest

from gradlens.runlog import Run
from tests.runlog.made import SEGMENT, batch_ends, measurement


@pytest.mark.parametrize("seed", range(60))
def test_flipped_bytes_cost_at_most_their_batch(four_batches, seed):
    data, ends = bytearray((four_batches / SEGMENT).read_bytes()), batch_ends(four_batches)
    schema_end = len(pa.ipc.read_schema(pa.py_buffer(bytes(data))).serialize())
    rng = np.random.default_rng(seed)
    at = int(rng.integers(schema_end, list(ends)[-1]))
    data[at : at + 8] = rng.bytes(8)
    (four_batches / SEGMENT).write_bytes(data)
    run = Run(four_batches)
    assert (np.diff(run.steps) > 0).all()
    hit = next(index for index, end in enumerate(ends) if at < end)
    rows = [0, *ends.values()]
    others = {*range(rows[hit]), *range(rows[hit + 1], 200)}
    assert others <= set(run.steps.tolist())
    assert len(run) == 200 or any(SEGMENT in text and "left out" in text for text in run.warnings)
    run.cosine("tail")
    run.by_layer("norm", "head")


def test_a_block_of_garbage_in_the_middle(four_batches):
    data, ends = (four_batches / SEGMENT).read_bytes(), list(batch_ends(four_batches))
    (four_batches / SEGMENT).write_bytes(data[: ends[0]] + b"\xff" * 4096 + data[ends[1] :])
    run = Run(four_batches)
    assert run.steps.tolist() == [*range(64), *range(128, 200)]
    assert len(run.warnings) == 1
    np.testing.assert_array_equal(run.gram()[64], measurement(128).gram)
