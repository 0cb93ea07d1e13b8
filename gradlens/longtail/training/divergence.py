"""Notices that a training has diverged, before a broken network replaces the last good checkpoint."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.training.checkpoint import FILE, phase_files

# Reading a number from a GPU waits for all queued work, so on a GPU the loss is checked only after this many steps.
STEPS_BETWEEN_LOOKS = 50


class DivergedError(LongTailError):
    """The loss or a weight is NaN or infinite. The message says where, and what to do."""


class LossWatch:
    """Adds up the losses of an epoch. Raises an error when they are not finite."""

    def __init__(self, phase: str, epoch: int, device: torch.device) -> None:
        self._where = f"in epoch {epoch + 1} of phase {phase!r}"
        self._every = 1 if device.type == "cpu" else STEPS_BETWEEN_LOOKS
        self._sums: dict[str, Tensor] = {}
        self._images = 0
        self._steps = 0

    def add(self, losses: dict[str, Tensor], images: int) -> None:
        """Adds the losses of one step.

        Raises:
            DivergedError: They are not finite. On a GPU this is noticed up to 50 steps later.
        """
        for name, loss in losses.items():
            weighted = loss.detach() * images
            self._sums[name] = self._sums[name] + weighted if name in self._sums else weighted
        self._images += images
        self._steps += 1
        if self._steps % self._every == 0:
            self.means()

    def means(self) -> dict[str, float]:
        """Returns the mean loss per image as "loss". If it has several components, each is there too, as "loss/NAME".

        Raises:
            DivergedError: They are not finite.
        """
        means = {name: float(value) / max(self._images, 1) for name, value in self._sums.items()}
        broken = [name for name, value in means.items() if not math.isfinite(value)]
        if broken:
            raise DivergedError(f"the loss ({', '.join(broken)}) is not finite at step {self._steps} {self._where}")
        components = {f"loss/{name}": value for name, value in means.items()} if len(means) > 1 else {}
        return {"loss": sum(means.values()), **components}


def check_parameters(model: nn.Module, epoch: int) -> None:
    """Checks that all weights are finite. A finite loss may have an infinite gradient.

    Raises:
        DivergedError: A weight is NaN or infinite. The message names the first such tensor.
    """
    names, tensors = zip(*((n, p.detach()) for n, p in model.named_parameters()), strict=True)
    finite = torch.stack([torch.isfinite(tensor).all() for tensor in tensors])
    if not bool(finite.all()):
        raise DivergedError(f"weights of {names[int(torch.nonzero(~finite)[0])]!r} are not finite after epoch {epoch}")


def way_out(folder: Path | None) -> str:
    """Returns a text for a training that has diverged: what to do, and which checkpoints its folder has.

    Its checkpoint cannot be continued with another learning rate. The checkpoint at the end of a phase can be used if only
    later phases are changed.

    Args:
        folder: Folder of the training; None if it keeps no checkpoints.
    """
    advice = "lower the learning rate and train in another folder"
    if folder is None or not (folder / FILE).exists():
        return advice
    advice += f"; the checkpoint of the last good epoch is {folder / FILE}"
    if ended := phase_files(folder):
        advice += (
            f"; where only learning_rate_2 is lowered, branch_point({str(folder)!r}, ...) starts from {ended[-1].name}"
        )
    return advice
