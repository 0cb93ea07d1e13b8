"""Threads: finds out which thread of the script trains the measured model."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Thread, current_thread
from typing import TYPE_CHECKING

from gradlens.tracking.watch.state import Watch

if TYPE_CHECKING:
    from torch import Tensor


class Threads:
    """Separates the backward passes of the measured training from those of another model in another thread.

    A measurement restores the gradients and buffers of the measured model after its own passes. If it ran them in a pass of
    another thread, the training might write to these tensors meanwhile.
    """

    def __init__(self, watch: Watch) -> None:
        """Keeps its argument.

        Args:
            watch: Is no longer BUSY when a pass belongs to another training, because the measured one may go on meanwhile.
        """
        self._watch = watch
        self._trains: Thread | None = None  # not its number: another thread may get that when this one has ended

    def trains(self, roots: list[Tensor], params: Sequence[Tensor]) -> bool:
        """Says whether a backward pass belongs to the measured training: by its thread, or by its parameters.

        Args:
            roots: The tensors that are differentiated, in this thread.
            params: The measured parameters.
        """
        here = current_thread()
        if here is self._trains:
            return True
        from gradlens.tracking.find.loss_calls import leaves

        known = {id(param) for param in params}
        if any(id(leaf) in known for leaf in leaves(roots)):
            self._trains = here
            return True
        if self._trains is None:
            return True
        self._watch.busy_for, self._watch.state = None, self._watch.of_step
        return False
