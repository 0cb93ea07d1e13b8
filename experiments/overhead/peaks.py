"""Peak memory of a training step, each method in a process of its own.

On a CPU it is what the process holds at its peak beyond what it held before the model was built, as the kernel counts it
(VmHWM, reset between steps): weights, activations, gradients, scratch space and all. Large blocks go back to the kernel as
they are freed (the allocator's threshold for mapping is lowered), so the peak is that of what is in use. On a GPU it is the
allocator's own count.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import warnings
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from overhead.cases import Case
from overhead.clocked import said
from overhead.methods import Method

M_MMAP_THRESHOLD = -3
MAPPED_FROM = 2**16  # bytes


def peak_bytes(case: Case, method: Method, device: str, seed: int) -> tuple[int, int] | str:
    """Returns the peaks of the first step (with a lens: the one with the full check) and of the second, or the refusal.

    Args:
        case: The model and batch.
        method: What steps.
        device: "cpu" or "cuda".
        seed: Seed of weights and data.
    """
    if device != "cpu":
        return _measure(case, method, device, seed)
    # A fork has everything imported already; nothing here has started a thread.
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_report, args=(there, case, method, seed))
    child.start()
    there.close()
    try:
        found: tuple[int, int] | str = here.recv()
    except EOFError:
        found = "the process died"
    child.join()
    return found


def _report(pipe: Connection, case: Case, method: Method, seed: int) -> None:
    ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, MAPPED_FROM)
    pipe.send(_measure(case, method, "cpu", seed))


def _measure(case: Case, method: Method, device: str, seed: int) -> tuple[int, int] | str:
    warnings.simplefilter("ignore")
    start = _reset(device)
    peaks = []
    try:
        step = method(case.setup(device, seed))
        for _ in range(2):
            step()
            peaks.append(_peak(device) - start)
            _reset(device)
    except Exception as error:  # a peer may fail in any way; the table says how
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
