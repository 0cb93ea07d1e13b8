"""RandomState: saves the state of the random number generators of this process, and restores it."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable

import numpy as np
import torch

# The modules of threads that draw no random numbers: progress bars, log writers, threads that feed data workers and move
# batches, and the threads of gradlens.
IDLE = ("tqdm.", "tensorboard.", "torch.", "multiprocessing.queues", "multiprocessing.resource_sharer", "gradlens.")


class RandomState:
    """The state of Python's, NumPy's and torch's global generators at one moment.

    A backward pass may draw random numbers: in a hook that adds noise, in a function of the user's own, or in checkpointing
    that does not save the state. After gradlens' own passes the training must still draw the numbers that it would draw
    without them.
    """

    def __init__(self, devices: Iterable[torch.device]) -> None:
        """Saves the state, without waiting for any device.

        Args:
            devices: The devices on which training may draw numbers, besides the CPU.
        """
        self._cuda = {d: torch.cuda.get_rng_state(d) for d in {d for d in devices if d.type == "cuda"}}
        self._cpu = torch.get_rng_state()
        self._numpy = np.random.get_state()  # noqa: NPY002
        self._python = random.getstate()

    def restore(self) -> None:
        """Restores the state. It may be called several times.

        If another thread of the script runs (one that prepares the next batches, for example), the generators of the CPU are
        left as they are: the numbers that were drawn meanwhile may be that thread's.
        """
        for device, state in self._cuda.items():
            torch.cuda.set_rng_state(state, device)
        if any(_may_draw(thread) for thread in threading.enumerate()):
            return
        random.setstate(self._python)
        np.random.set_state(self._numpy)  # noqa: NPY002
        torch.set_rng_state(self._cpu)


def _may_draw(thread: threading.Thread) -> bool:
    # Python shows a thread that torch started for a backward pass as a dummy thread.
    if thread is threading.current_thread() or isinstance(thread, threading._DummyThread):
        return False
    target = getattr(thread, "_target", None)
    kinds = (type(thread).__module__, getattr(target, "__module__", None) or "")
    return not any(kind.startswith(IDLE) for kind in kinds)
