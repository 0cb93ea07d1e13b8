"""RandomState: the random state of the process, taken down and put back."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable

import numpy as np
import torch

# Where threads come from that draw nothing: progress bars, writers of logs, what feeds workers and moves batches, and ours.
IDLE = ("tqdm.", "tensorboard.", "torch.", "multiprocessing.queues", "multiprocessing.resource_sharer", "gradlens.")


class RandomState:
    """The state of Python's, NumPy's and torch's global generators at one moment.

    Backward passes may draw random numbers: a hook that adds noise, a function of the user's own, checkpointing that does
    not keep the state. A pass of ours must leave the numbers that training draws next as they would be without it.
    """

    def __init__(self, devices: Iterable[torch.device]) -> None:
        """Takes the state down; no synchronisation with any device.

        Args:
            devices: Where training may draw numbers, besides the CPU.
        """
        self._cuda = {d: torch.cuda.get_rng_state(d) for d in {d for d in devices if d.type == "cuda"}}
        self._cpu = torch.get_rng_state()
        self._numpy = np.random.get_state()  # noqa: NPY002
        self._python = random.getstate()

    def restore(self) -> None:
        """Puts the state back; may be called again.

        Where another thread of the script runs (one that prepares the next batches), the generators of the host go on as they
        are: what was drawn meanwhile is taken to be its own.
        """
        for device, state in self._cuda.items():
            torch.cuda.set_rng_state(state, device)
        if any(_may_draw(thread) for thread in threading.enumerate()):
            return
        random.setstate(self._python)
        np.random.set_state(self._numpy)  # noqa: NPY002
        torch.set_rng_state(self._cpu)


def _may_draw(thread: threading.Thread) -> bool:
    # A thread that torch started to run a backward pass is known to Python as a dummy.
    if thread is threading.current_thread() or isinstance(thread, threading._DummyThread):
        return False
    target = getattr(thread, "_target", None)
    kinds = (type(thread).__module__, getattr(target, "__module__", None) or "")
    return not any(kind.startswith(IDLE) for kind in kinds)
