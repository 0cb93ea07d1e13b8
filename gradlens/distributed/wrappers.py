"""Finds out how processes share a model's gradient: DistributedDataParallel, fully_shard, or averaged by hand."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from enum import Enum
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from gradlens.autograd.graph import edge_of, walk
from gradlens.autograd.shards import is_sharded
from gradlens.distributed.errors import TeamError


class Sharing(Enum):
    """How processes share gradients: every process holds whole ones (WRAPPED, BY_HAND), or a part of each (SHARDS).

    The values are words for messages.
    """

    WRAPPED = "DistributedDataParallel"
    BY_HAND = "by hand"
    SHARDS = "fully_shard"


def several() -> bool:
    """Says whether this process trains together with others."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def unwrapped(model: nn.Module) -> nn.Module:
    """Returns the model inside DataParallel and DistributedDataParallel; the model itself without them."""
    while isinstance(model, (DataParallel, DistributedDataParallel)):
        model = model.module
    return model


def wrapper_of(model: nn.Module) -> DistributedDataParallel | None:
    """Returns the DDP wrapper that holds the most of a model's trainable parameters; None if no wrapper holds any."""
    wanted = {id(param) for param in model.parameters() if param.requires_grad}
    best: tuple[int, DistributedDataParallel] | None = None
    for thing in _wrappers():
        held = len(wanted & {id(param) for param in thing.parameters()})
        if held and (best is None or held > best[0]):
            best = (held, thing)
    return None if best is None else best[1]


def in_join() -> bool:
    """Says whether some DDP model is inside ``join``, where processes may have different numbers of batches."""
    return any(wrapper._join_config.enable for wrapper in _wrappers())


def _wrappers() -> Iterator[DistributedDataParallel]:
    for thing in gc.get_objects():
        if issubclass(type(thing), DistributedDataParallel) and "_modules" in vars(thing):
            yield thing


def sharing_of(model: nn.Module, wrapper: DistributedDataParallel | None) -> Sharing:
    """Says how the processes share the gradient.

    Args:
        model: The model, without wrappers.
        wrapper: Its DDP wrapper, or None.

    Raises:
        TeamError: They share it in a way that cannot be measured.
    """
    size = dist.get_world_size()
    trained = [param for param in model.parameters() if param.requires_grad]
    sharded = [param for param in trained if is_sharded(param)]
    if any(type(module).__name__ == "FullyShardedDataParallel" for module in model.modules()):
        raise TeamError(
            "FullyShardedDataParallel hides the parameters in flat ones; use fully_shard (FSDP2) to measure"
        )
    if sharded:
        if len(sharded) < len(trained):
            raise TeamError(
                f"{len(trained) - len(sharded)} of {len(trained)} parameters are not sharded like the others; call fully_shard "
                "on the whole model, too"
            )
        if not any(type(module).__name__.startswith("FSDP") for module in model.modules()):
            raise TeamError("the parameters are distributed by other means than fully_shard, which is not measured")
        for param in sharded:
            replicas(param, size)
        return Sharing.SHARDS
    if wrapper is None:
        return Sharing.BY_HAND
    members = dist.get_world_size(wrapper.process_group)
    if members != size:
        raise TeamError(f"DistributedDataParallel spans {members} of {size} processes, which is not measured")
    return Sharing.WRAPPED


def replicas(param: Any, size: int) -> int:
    """Returns how many processes hold each shard of a DTensor.

    Args:
        param: The DTensor.
        size: Number of all processes.

    Raises:
        TeamError: It is not spread over all processes, or it is sharded in more than one dimension.
    """
    placements, mesh = param.placements, param.device_mesh
    shards = [dim for dim, placement in enumerate(placements) if placement.is_shard()]
    if mesh.size() != size or len(shards) > 1 or any(placement.is_partial() for placement in placements):
        raise TeamError(
            f"a parameter is placed as {placements} over {mesh.size()} of {size} processes; only fully_shard over all of them is "
            "measured"
        )
    return size // (mesh.size(shards[0]) if shards else 1)


def is_joint(loss: Tensor) -> bool:
    """Says whether a backward pass may hold collectives. Then all processes must run the same passes in the same order.

    It looks at the graph only. Every autograd function in Python counts, because its backward pass cannot be looked into.
    """
    return any(
        isinstance(node, torch.autograd.function.BackwardCFunction) and type(node).__name__ != "_DDPSinkBackward"
        for node in walk([edge_of(loss)])
    )
