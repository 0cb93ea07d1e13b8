"""Backward passes of shards that must not be repeated are left alone."""

from __future__ import annotations

import warnings

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from gradlens import Lens
from gradlens.guards.warning import GradlensWarning
from tests.distributed.processes import together
from tests.distributed.trainings import batches, groups, network, optimizer_of


class Sharded:
    """What people do with fully_shard that a repeated backward pass would disturb."""

    @staticmethod
    def unreduced(model, number):
        model.set_requires_gradient_sync(number == 1)

    @staticmethod
    def stepping_hooks(model, number):
        if number == 0 and not getattr(model, "stepping", False):
            model.stepping = True
            for param in model.parameters():
                param.register_post_accumulate_grad_hook(lambda p: p.data.add_(p.grad, alpha=-0.01))


def unrepeatable(lens: bool, prepare):
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    model = fully_shard(network(), mesh=mesh)
    optimizer = optimizer_of(model.parameters())
    watch = Lens(model, groups(), optimizer=optimizer, every=1) if lens else None
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for step in batches(steps=3, micro=2):
            for number, parts in enumerate(step):
                prepare(model, number)
                x, y = parts[dist.get_rank()]
                loss = F.cross_entropy(model(x), y)
                if watch is None:
                    loss.backward()
                else:
                    watch.backward(loss, y)
            optimizer.step()
            optimizer.zero_grad()
        if watch is not None:
            watch.close()
    weights = {name: value.full_tensor().clone() for name, value in model.state_dict().items()}
    own = [str(w.message) for w in said if issubclass(w.category, GradlensWarning)]
    return weights, None if watch is None else watch.last, own


def compared(prepare):
    bare, _, _ = unrepeatable(False, prepare)
    tracked, last, said = unrepeatable(True, prepare)
    return all(torch.equal(value, bare[name]) for name, value in tracked.items()), last, said


@pytest.mark.parametrize(
    ("prepare", "why"),
    [
        (Sharded.unreduced, "leaves gradients unreduced (set_requires_gradient_sync(False))"),
        (Sharded.stepping_hooks, "hooks (register_post_accumulate_grad_hook)"),
    ],
)
def test_backward_passes_of_shards_that_must_not_be_repeated_are_left_alone(tmp_path, prepare, why):
    found = together(tmp_path, compared, prepare)

    for rank, (same, last, said) in enumerate(found):
        assert same
        assert last is None
        assert len(said) == (rank == 0)
    assert "step 0 was not measured: it" in found[0][2][0]
    assert why in found[0][2][0]
