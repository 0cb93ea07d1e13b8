"""Processes: a training shared by several processes, each of which has its share of every batch.

What is minimised is the loss of the whole batch, as in one process: rows of features, logits and labels are gathered, every
process computes the same loss from them, and its gradient flows back into its own rows alone.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from gradlens.longtail.errors import LongTailError

T = TypeVar("T")
Run = Callable[[Callable[[], Any]], Any]


@dataclass(frozen=True)
class Processes:
    """The processes of a training, seen from one of them.

    Attributes:
        rank: Of this process; 0 writes checkpoint, run and result.
        size: Number of processes.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def here(cls) -> Processes:
        """Returns those of torch.distributed; one where it is not initialised."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls()

    def share(self, total: int) -> slice:
        """Returns which of ``total`` rows are this process's: a contiguous part, at most one row longer than the others'."""
        each, longer = divmod(total, self.size)
        start = self.rank * each + min(self.rank, longer)
        return slice(start, start + each + (self.rank < longer))

    def share_of_batches(self, positions: Tensor, batch: int) -> tuple[Tensor, int]:
        """Returns the positions of this process's shares of all batches, one after the other, and the size of a share.

        Where a batch has fewer images than there are processes, those without any take its first one: all have to run the
        same passes. Such a filler counts for nothing, see ``Step.measured_labels``.

        Args:
            positions: [n] positions of the images of all batches.
            batch: Images in each but the last one.
        """
        if self.size == 1 or not len(positions):
            return positions, batch
        shares = []
        for chunk in torch.split(positions, batch):
            own = chunk[self.share(len(chunk))]
            shares.append(own if len(own) else chunk[:1])
        return torch.cat(shares), len(shares[0])

    def gather(self, rows: Tensor, total: int) -> Tensor:
        """Returns the rows of all processes.

        The gradient of what all compute from them flows into this process's rows, multiplied by the number of processes:
        the average over the processes, which is what DistributedDataParallel takes, is then the gradient in one process.

        Args:
            rows: [b, ...] the rows of ``share(total)``, or a filler where that is empty.
            total: Number of rows in all.

        Returns:
            [total, ...].
        """
        if self.size == 1:
            return rows
        gathered: Tensor = _Gather.apply(rows, self, total)
        return gathered

    def as_the_first(self, tensor: Tensor, device: torch.device) -> Tensor:
        """Returns the tensor of process 0, which has the same shape in all.

        Args:
            tensor: [...] on any device.
            device: Of the training.
        """
        if self.size == 1:
            return tensor
        sent = tensor.to(device).contiguous()
        dist.broadcast(sent, 0)
        return sent.to(tensor.device)

    def agreed(self, value: Callable[[], T]) -> T:
        """Returns what ``value`` returns in process 0."""
        if self.size == 1:
            return value()
        told: list[Any] = [value() if self.rank == 0 else None]
        dist.broadcast_object_list(told, 0)
        agreed: T = told[0]
        return agreed

    def prepared(self, model: nn.Module) -> Any:
        """Returns the network with BatchNorm over the whole batch on a GPU, where PyTorch has that, else as it is."""
        on_gpu = any(parameter.is_cuda for parameter in model.parameters())
        if self.size > 1 and on_gpu:
            return nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return model

    def wrapped(self, model: nn.Module) -> Run:
        """Returns what runs a forward pass of a network whose gradients are averaged over the processes.

        The passes of a method may use any part of the network, not only its ``forward``; so what is wrapped is a module
        that holds the network and runs what it is given. An earlier wrapper of the same network must be dropped first.
        """
        if self.size == 1:
            return directly
        from torch.nn.parallel import DistributedDataParallel

        gc.collect()  # the hooks of an earlier wrapper end with it
        return DistributedDataParallel(_Passes(model))

    def share_buffers(self, model: nn.Module) -> None:
        """Gives all processes the buffers of the first, as DistributedDataParallel does before each forward pass."""
        if self.size > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer, 0)


class _Gather(torch.autograd.Function):
    """Rows of all processes; every row is 0 everywhere but in the process that has it, so that the sum is exact."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, processes: Processes, total: int) -> Tensor:
        own = processes.share(total)
        ctx.processes, ctx.own, ctx.shape = processes, own, rows.shape
        whole = rows.new_zeros(total, *rows.shape[1:])
        whole[own] = rows[: own.stop - own.start]
        dist.all_reduce(whole)
        return whole

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        rows = gradient.new_zeros(ctx.shape)
        rows[: ctx.own.stop - ctx.own.start] = gradient[ctx.own] * ctx.processes.size
        return rows, None, None


class _Passes(nn.Module):
    """Holds a network and runs forward passes of it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, compute: Callable[[], T]) -> T:
        return compute()


def directly(compute: Callable[[], Any]) -> Any:
    """Runs a forward pass in a process that trains alone."""
    return compute()


@contextmanager
def started(device: str) -> Iterator[tuple[Processes, str]]:
    """Joins the other processes where torchrun has started this one; else there is one process only.

    Args:
        device: "cuda", "cpu" or the like.

    Yields:
        The processes, and the device of this one: the GPUs of a machine are dealt out to its processes.

    Raises:
        LongTailError: Fewer GPUs than processes, or one GPU named for several processes.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or "RANK" not in os.environ:
        yield Processes(), device
        return
    where = torch.device(device)
    if where.type == "cuda":
        local, gpus = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if ":" in device or local >= gpus:
            raise LongTailError(
                f"device {device}: each process takes a GPU of its own, and there are {gpus} here; leave the number out, and "
                f"start at most {gpus} processes (torchrun --nproc-per-node)"
            )
        where = torch.device("cuda", local)
        torch.cuda.set_device(where)
    dist.init_process_group("nccl" if where.type == "cuda" else "gloo")
    try:
        yield Processes.here(), str(where)
    finally:
        dist.destroy_process_group()


ALONE = Processes()
