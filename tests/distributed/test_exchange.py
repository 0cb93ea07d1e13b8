"""Class counts that processes tell one another before there is a team."""

from __future__ import annotations

import numpy as np
import pytest
import torch.distributed as dist

from gradlens.distributed.exchange import processes, shared_counts
from tests.distributed.processes import together


def told(of_each):
    counts = of_each[dist.get_rank()]
    shared, added = shared_counts(None if counts is None else np.array(counts))
    dist.barrier()  # the process that holds the store must not end before the other has read it
    return None if shared is None else shared.tolist(), added, processes()


@pytest.mark.parametrize(
    ("of_each", "shared", "added"),
    [
        (([5, 1, 0], [5, 1, 0]), [5, 1, 0], False),  # both read the whole data
        (([5, 1, 0], [3, 0, 2]), [8, 1, 2], True),  # each has a part
        (([5, 1, 0], None), None, False),
    ],
)
def test_counts_of_two_processes(tmp_path, of_each, shared, added):
    assert together(tmp_path, told, of_each) == [(shared, added, 2)] * 2


def test_a_single_process_tells_nobody():
    counts = np.array([5, 1])
    assert shared_counts(counts) == (counts, False)
    assert shared_counts(None) == (None, False)
    assert processes() == 1
