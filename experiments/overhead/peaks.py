"""Measures the peak memory of a training step, for each method in a separate process.

On a CPU it is the peak memory of the process, minus its memory before the model was built, as the kernel counts it (VmHWM, reset
between steps). So weights, activations, gradients and scratch space all count. Large blocks go back to the kernel as soon as they
are freed (the allocator's threshold for mapping is lowered), so only memory in use counts. On a GPU it is the count of PyTorch's
allocator.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import warnings
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol

import torch

from overhead.cases import cases
from overhead.clocked import said
from overhead.methods import Step
from overhead.peers import METHODS

M_MMAP_THRESHOLD = -3
MAPPED_FROM = 2**16  # bytes


class Job(Protocol):
    """The measurement that a process makes. It can be pickled."""

    @property
    def device(self) -> str:
        """Either "cpu" or "cuda"."""

    @property
    def threads(self) -> int:
        """Threads of torch."""

    def step(self) -> Step:
        """Makes the model, and returns the step that is measured."""


@dataclass(frozen=True)
class MethodJob:
    """The measurement of a method of this package. See ``Job``.

    Attributes:
        case: Name of the case.
        method: Name of the method.
        batch: Batch size B.
        depth: Layers of the ResNets.
        device: "cpu" or "cuda".
        threads: Threads of torch.
        seed: Seed of weights and data.
    """

    case: str
    method: str
    batch: int
    depth: int
    device: str
    threads: int
    seed: int

    def step(self) -> Step:
        """Makes the model, and returns a step of the method."""
        return METHODS[self.method](cases(self.batch, self.depth)[self.case].setup(self.device, self.seed))


def peak_bytes(job: Job) -> tuple[int, int] | str:
    """Returns the peaks of the first and the second step in bytes, or a text with the reason why the method does not work.

    With a lens the first step has the full check.
    """
    if job.device != "cpu":
        return _measure(job)
    # Processes are forked from a server that has only made the imports. Memory that an earlier measurement has freed would be
    # used again and not be counted.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["overhead.peers", "opacus", "timm"])
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_report, args=(there, job))
    child.start()
    there.close()
    try:
        found: tuple[int, int] | str = here.recv()
    except EOFError:
        found = "the process died"
    child.join()
    return found


def _report(pipe: Connection, job: Job) -> None:
    ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, MAPPED_FROM)
    torch.set_num_threads(job.threads)
    pipe.send(_measure(job))


def _measure(job: Job) -> tuple[int, int] | str:
    warnings.simplefilter("ignore")
    start = _reset(job.device)
    peaks = []
    try:
        step = job.step()
        for _ in range(2):
            step()
            peaks.append(_peak(job.device) - start)
            _reset(job.device)
    except Exception as error:  # another package may fail in any way, and the table says how
        return said(error)
    return peaks[0], peaks[1]


def _reset(device: str) -> int:
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _peak(device: str) -> int:
    return torch.cuda.max_memory_allocated() if device != "cpu" else _status("VmHWM")


def _status(entry: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == entry:
            return int(value.split()[0]) * 1024
    raise KeyError(entry)
