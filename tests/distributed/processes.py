"""Starts the processes of one training, each with its rank, from this one: a fork needs no new import of torch."""

from __future__ import annotations

import faulthandler
import os
import pickle
import signal
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # DDP imports it: here once for all processes
import torch.distributed as dist
import torch.distributed.fsdp
import torch.distributed.tensor

from tests.forks import run_and_exit

LIMIT = 150


def together(folder: Path, work: Callable[..., Any], *arguments: Any, size: int = 2, group: bool = True) -> list[Any]:
    """Runs ``work(*arguments)`` in ``size`` processes and returns what it returned in each.

    Raises:
        AssertionError: One of them failed; with what it printed.
    """
    found = outcomes(folder, work, *arguments, size=size, group=group)
    for rank, (code, _, text) in enumerate(found):
        assert code == 0, f"process {rank} ended with {code}:\n{text}"
    return [value for _, value, _ in found]


def outcomes(
    folder: Path, work: Callable[..., Any], *arguments: Any, size: int = 2, group: bool = True
) -> list[tuple[int, Any, str]]:
    """As ``together``, but returns (exit code or minus signal, value or None, output) of each process."""
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    sys.stdout.flush()
    sys.stderr.flush()
    pids = []
    for rank in range(size):
        pid = os.fork()
        if pid == 0:
            run_and_exit(partial(_work, folder, rank, size, port, group, work, arguments))
        pids.append(pid)
    codes: dict[int, int] = {}
    end = time.monotonic() + LIMIT
    try:
        while len(codes) < size and time.monotonic() < end:
            for rank, pid in enumerate(pids):
                if rank not in codes:
                    done, status = os.waitpid(pid, os.WNOHANG)
                    if done:
                        codes[rank] = os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
    finally:
        for rank, pid in enumerate(pids):
            if rank not in codes:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                codes[rank] = -signal.SIGKILL
    values = [folder / f"value{rank}.pickle" for rank in range(size)]
    return [
        (
            codes[rank],
            pickle.loads(values[rank].read_bytes()) if values[rank].exists() else None,
            (folder / f"out{rank}.txt").read_text(),
        )
        for rank in range(size)
    ]


def _work(
    folder: Path, rank: int, size: int, port: int, group: bool, work: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    with open(folder / f"out{rank}.txt", "w") as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = sys.__stderr__ = os.fdopen(2, "w", buffering=1, closefd=False)
    faulthandler.enable(sys.stderr)
    faulthandler.dump_traceback_later(LIMIT - 20, exit=True, file=sys.stderr)
    signal.setitimer(signal.ITIMER_REAL, 0)
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(size), LOCAL_RANK=str(rank))
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    if group:
        dist.init_process_group("gloo")
        dist.barrier()  # a process that ends at once must not be gone while the other still connects
    value = work(*arguments)
    (folder / f"value{rank}.pickle").write_bytes(pickle.dumps(value))
