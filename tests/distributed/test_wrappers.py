"""How processes share the gradient of a model: told by its wrappers and by where its parameters lie."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DataParallel, DistributedDataParallel

from gradlens.distributed.choice import agreement_for
from gradlens.distributed.errors import TeamError
from gradlens.distributed.joint_steps import JointSteps
from gradlens.distributed.wrappers import (
    Sharing,
    in_join,
    is_joint,
    replicas,
    several,
    sharing_of,
    unwrapped,
    wrapper_of,
)
from gradlens.measure.agreement import SingleProcessAgreement
from tests.distributed.processes import together
from tests.distributed.trainings import groups, network


def reason(model: nn.Module, wrapper: DistributedDataParallel | None = None) -> str:
    try:
        return sharing_of(model, wrapper).name
    except TeamError as error:
        return str(error)


def of_two_processes() -> dict[str, object]:
    mesh = init_device_mesh("cpu", (2,))
    plain, wrapped = network(), DistributedDataParallel(network())
    sharded, mixed = fully_shard(network(), mesh=mesh), network()
    fully_shard(mixed[0], mesh=mesh)
    alone = [dist.new_group([rank]) for rank in range(2)][dist.get_rank()]
    apart = DistributedDataParallel(network(), process_group=alone)
    agreement = agreement_for(wrapped.module, groups())
    found = {
        "several": several(),
        "by hand": reason(plain, wrapper_of(plain)),
        "wrapped": reason(wrapped.module, wrapper_of(wrapped.module)),
        "its own wrapper": wrapper_of(wrapped.module) is wrapped,
        "no wrapper": wrapper_of(plain) is None,
        "shards": reason(sharded),
        "replicas": replicas(next(sharded.parameters()), 2),
        "mixed": reason(mixed),
        "apart": reason(apart.module, apart),
        "join": in_join(),
        "agreement": isinstance(agreement, JointSteps),
    }
    with wrapped.join():
        found["inside of join"] = in_join()
    agreement.stop()
    return found


def test_the_ways_of_two_processes(tmp_path):
    for found in together(tmp_path, of_two_processes):
        assert "2 of 4 parameters are not sharded like the others" in found.pop("mixed")
        assert "spans 1 of 2 processes" in found.pop("apart")
        assert found == {
            "several": True,
            "by hand": Sharing.BY_HAND.name,
            "wrapped": Sharing.WRAPPED.name,
            "its own wrapper": True,
            "no wrapper": True,
            "shards": Sharing.SHARDS.name,
            "replicas": 1,
            "join": False,
            "inside of join": True,
            "agreement": True,
        }


def test_wrappers_are_taken_off():
    model = nn.Linear(2, 2)
    assert unwrapped(model) is model
    assert unwrapped(DataParallel(model)) is model


def test_a_single_process_agrees_with_itself():
    assert not several()
    assert isinstance(agreement_for(nn.Linear(2, 2), groups()), SingleProcessAgreement)


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, gradient):
        return 2 * gradient


@pytest.mark.parametrize("joint", [False, True])
def test_a_function_in_python_may_hold_collectives(joint):
    x = torch.ones(2, requires_grad=True)
    assert is_joint((Doubled.apply(x) if joint else 2 * x).sum()) is joint
