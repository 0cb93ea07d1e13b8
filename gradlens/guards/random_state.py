"""RandomState: saves the state of the random number generators of this process, and restores it."""

from __future__ import annotations

import ctypes
import random
import threading
from collections.abc import Iterable
from typing import Any

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
        self._numpy = NumpyState()
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
        self._numpy.restore()
        torch.set_rng_state(self._cpu)


# The memory of NumPy's usual generator: 624 numbers of 32 bits, and how many of them are used up.
MT19937 = 4 * 625


class NumpyState:
    """The state of NumPy's global generator at one moment.

    It is always saved. Half of the numbers of a normal distribution do not move the generator: a second number that was drawn
    with the first waits in ``has_gauss``, which only the saved state shows. Restoring takes as long as saving (0.04 ms). So it
    is done only if the generator's memory has changed, or if a number was waiting.
    """

    def __init__(self) -> None:
        """Saves the state."""
        self._memory = _memory()
        self._state: Any = np.random.get_state()  # noqa: NPY002

    def restore(self) -> None:
        """Restores the state. It may be called several times."""
        if self._memory is None or self._state[3] or self._memory != _memory():
            np.random.set_state(self._state)  # noqa: NPY002


def _memory() -> bytes | None:
    """Returns the memory of NumPy's global generator; None if it is of another kind than usual."""
    generator = np.random.get_bit_generator()  # type: ignore[attr-defined]
    if type(generator) is not np.random.MT19937:
        return None
    return ctypes.string_at(generator.ctypes.state_address, MT19937)


def _may_draw(thread: threading.Thread) -> bool:
    # Python shows a thread that torch started for a backward pass as a dummy thread.
    if thread is threading.current_thread() or isinstance(thread, threading._DummyThread):
        return False
    target = getattr(thread, "_target", None)
    kinds = (type(thread).__module__, getattr(target, "__module__", None) or "")
    return not any(kind.startswith(IDLE) for kind in kinds)
