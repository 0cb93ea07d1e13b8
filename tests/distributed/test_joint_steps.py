"""What processes send one another: one sum for all gradients, and of shards inner products only."""

from __future__ import annotations

import torch.distributed as dist
import torch.nn.functional as F
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from gradlens import ClassGroups, Lens
from tests.distributed.processes import together
from tests.distributed.trainings import batches, network, optimizer_of


def counted():
    """Counts the collectives of a measured step, gradients and others."""
    return _collectives(DistributedDataParallel(network()))


def counted_in_shards():
    """Counts what our own collectives add up where parameters are sharded."""
    return _collectives(fully_shard(network(), mesh=init_device_mesh("cpu", (2,))))


def _collectives(model):
    """Returns how many numbers each of our collectives adds up in six steps, every other of them measured; and the model's."""
    calls = []
    from gradlens.distributed.team import Team

    ordinary = Team.sum

    def counting(self, tensor):
        calls.append(tensor.numel())
        return ordinary(self, tensor)

    Team.sum = counting
    optimizer = optimizer_of(model.parameters())
    lens = Lens(model, ClassGroups.per_class(5), optimizer=optimizer, every=2)
    found = []
    for step in range(6):
        inputs, labels = batches(steps=6, sizes=(40, 40))[step][0][dist.get_rank()]
        optimizer.zero_grad()
        calls.clear()
        lens.backward(F.cross_entropy(model(inputs), labels), labels)
        optimizer.step()
        found.append(list(calls))
    lens.close()
    return found, sum(param.numel() for param in model.parameters())


def test_one_all_reduce_for_all_gradients(tmp_path):
    found, size = together(tmp_path, counted)[0]

    assert all(step == [] for step in found[1::2])
    for step in found[0::2]:
        large = [numel for numel in step if numel > 2 * size]
        assert len(large) == 1
        # Four of five groups, and no total: that one is the training's own. The largest layer's check comes with it.
        assert 4 * size <= large[0] <= 5 * size
        assert sum(numel for numel in step if numel <= size) < 100


def test_shards_send_inner_products_and_no_gradients(tmp_path):
    found, size = together(tmp_path, counted_in_shards)[0]

    assert all(step == [] for step in found[1::2])
    for step in found[0::2]:
        # Four groups and the total of two layers, and the difference by itself where it is checked; gradients of four groups
        # would be 4 * 113 numbers.
        assert {2 * 5 * 5, 2 * 6 * 6} & {*step}
        assert max(step) < size
