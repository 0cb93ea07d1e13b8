"""``Processes``: several processes that train one network together. Each has a share of every batch.

They minimise the loss of the whole batch, as one process would. Rows of features, logits and labels are gathered from all
processes. Every process computes the same loss from them. Its gradient flows back into the rows of this process only.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from gradlens.longtail.errors import LongTailError

T = TypeVar("T")
RunUnder = Callable[[Callable[[], Any]], Any]


@dataclass(frozen=True)
class Processes:
    """The processes of a training, as seen from one of them.

    Attributes:
        rank: Rank of this process. Process 0 writes the checkpoint, the run and the result.
        size: Number of processes.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def here(cls) -> Processes:
        """Returns the processes of torch.distributed; a single one if it is not initialised."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls()

    def share(self, total: int) -> slice:
        """Returns the rows of this process out of ``total`` rows. The shares of the processes differ by at most one row."""
        each, longer = divmod(total, self.size)
        start = self.rank * each + min(self.rank, longer)
        return slice(start, start + each + (self.rank < longer))

    def share_of_batches(self, positions: Tensor, batch: int) -> tuple[Tensor, int]:
        """Returns the positions of this process's shares of all batches, one after the other, and the size of a share.

        All processes must run the same passes. If a batch has fewer images than there are processes, a process without images
        takes the first image of the batch as a filler. Fillers do not count, see ``Step.measured_labels``.

        Args:
            positions: [n] positions of the images of all batches.
            batch: Images in each batch; the last one may have fewer.
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

        The gradient of the result flows into the rows of this process, multiplied by the number of processes.
        DistributedDataParallel then averages over the processes, so the result is the gradient of a single process.

        Args:
            rows: [b, ...] the rows of ``share(total)``, or a filler if the share is empty.
            total: Number of rows of all processes together.

        Returns:
            [total, ...] rows.
        """
        if self.size == 1:
            return rows
        gathered: Tensor = _Gather.apply(rows, self, total)
        return gathered

    def averaged(self, gradients: list[Tensor | None], like: Sequence[Tensor]) -> list[Tensor | None]:
        """Returns the mean of the processes' gradients, as DistributedDataParallel makes it.

        Args:
            gradients: [P] gradients of this process; None counts as zero.
            like: [P] the parameters.
        """
        if self.size == 1:
            return gradients
        whole = [torch.zeros_like(p) if g is None else g for g, p in zip(gradients, like, strict=True)]
        flat = torch.cat([gradient.reshape(-1) for gradient in whole]) if whole else torch.zeros(0)
        dist.all_reduce(flat)
        parts = torch.split(flat / self.size, [gradient.numel() for gradient in whole])
        return [part.view_as(gradient) for part, gradient in zip(parts, whole, strict=True)]

    def as_the_first(self, tensor: Tensor, device: torch.device) -> Tensor:
        """Returns the tensor of process 0. It must have the same shape in all processes.

        Args:
            tensor: [...] tensor of this process, on any device.
            device: Device of the training.
        """
        if self.size == 1:
            return tensor
        sent = tensor.to(device).contiguous()
        dist.broadcast(sent, 0)
        return sent.to(tensor.device)

    def agreed(self, value: Callable[[], T]) -> T:
        """Returns in all processes what ``value`` returns in process 0."""
        if self.size == 1:
            return value()
        told: list[Any] = [value() if self.rank == 0 else None]
        dist.broadcast_object_list(told, 0)
        agreed: T = told[0]
        return agreed

    def prepared(self, model: nn.Module) -> Any:
        """Returns the network. On GPUs its BatchNorm uses the whole batch; on a CPU PyTorch has no such BatchNorm."""
        on_gpu = any(parameter.is_cuda for parameter in model.parameters())
        if self.size > 1 and on_gpu:
            return nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return model

    def wrapped(self, model: nn.Module) -> RunUnder:
        """Returns a function that runs forward passes of a network so that gradients are averaged over the processes.

        A method's pass may use any part of the network, not only its ``forward``. So a module that holds the network and
        runs a given function is wrapped. An earlier wrapper of the same network must be dropped first.
        """
        if self.size == 1:
            return directly
        from torch.nn.parallel import DistributedDataParallel

        gc.collect()  # removes the hooks of an earlier wrapper
        return DistributedDataParallel(_Passes(model))

    def share_buffers(self, model: nn.Module) -> None:
        """Copies the buffers of process 0 to all processes, as DistributedDataParallel does before each forward pass."""
        if self.size > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer, 0)


class _Gather(torch.autograd.Function):
    """Gathers rows by a sum over the processes. Only one process has a row, and it is 0 in the others, so the sum is exact."""

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
    """A module that holds a network and runs its forward passes."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, compute: Callable[[], T]) -> T:
        return compute()


def directly(compute: Callable[[], Any]) -> Any:
    """Runs a forward pass in a process that trains alone: calls the function."""
    return compute()


@contextmanager
def started(device: str) -> Iterator[tuple[Processes, str]]:
    """Joins the other processes if torchrun has started this one. Otherwise there is a single process.

    Args:
        device: Device, such as "cuda" or "cpu".

    Yields:
        The processes, and the device of this process. On GPUs each process of a machine gets its own.

    Raises:
        LongTailError: There are fewer GPUs than processes, or one GPU was named for several processes.
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
