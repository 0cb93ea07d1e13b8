"""RandomState: the random state of the process, taken down and put back."""

from __future__ import annotations

import random
from collections.abc import Iterable

import numpy as np
import torch


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
        """Puts the state back; may be called again."""
        random.setstate(self._python)
        np.random.set_state(self._numpy)  # noqa: NPY002
        torch.set_rng_state(self._cpu)
        for device, state in self._cuda.items():
            torch.cuda.set_rng_state(state, device)
