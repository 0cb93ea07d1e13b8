"""Groups of an attribute in two processes: they measure what one process does with the same global batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from gradlens import ClassGroups, Lens
from tests.distributed.processes import together
from tests.distributed.trainings import batch, network, optimizer_of
from tests.lens.oracle import apart

STEPS = 3
GROUPS = ClassGroups.of_attribute("domain", ["photo", "sketch", "cartoon"], {"photo": [0], "drawn": [1, 2]})


def domains(step: int, rank: int) -> Tensor:
    """In step 1 process 0 has no photo, in step 2 no process has one."""
    values = (torch.arange(8) + rank) % 3
    return values.clamp(min=1) if step == 2 or (step, rank) == (1, 0) else values


def train(ranks: tuple[int, ...]) -> list[tuple[Any, ...]]:
    model: Any = network()
    if len(ranks) == 1:
        model = DistributedDataParallel(model)
    optimizer = optimizer_of(model.parameters())
    found = []
    with Lens(model, GROUPS, optimizer=optimizer, every=1, strict=True) as lens:
        for step in range(STEPS):
            parts = [batch(step, 0, rank) for rank in ranks]
            x, y = torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])
            members = torch.cat([domains(step, rank) for rank in ranks])
            optimizer.zero_grad()
            lens.backward(F.cross_entropy(model(x), y), y, members=members)
            optimizer.step()
            m = lens.last
            assert m is not None
            found.append((m.gram, m.counts, m.loss, m.correct))
    return found


def one_of_two() -> list[tuple[Any, ...]]:
    return train((dist.get_rank(),))


def test_two_processes_measure_what_one_does(tmp_path) -> None:
    ours, _ = together(tmp_path, one_of_two)
    for (gram, *numbers), (expected, *others) in zip(ours, train((0, 1)), strict=True):
        assert apart(gram, expected) <= 1e-6
        for mine, theirs in zip(numbers, others, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-6)
    assert ours[2][1].tolist() == [0, 16]
