"""Notes what a training does: a hash of the weights after each optimizer step, and all states at the end."""

from __future__ import annotations

import atexit
import gc
import hashlib
import json
import os
import random
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook


class Witness:
    """The notes about a process. It keeps optimizers and models, so that their final states can be saved at the end."""

    def __init__(self, folder: str, last: int) -> None:
        self.folder, self.last, self.process = Path(folder), last, os.getpid()
        self.optimizers: list[torch.optim.Optimizer] = []
        self.models: list[torch.nn.Module] = []
        self.digests: list[str] = []
        self.generators: list[str] = []
        self.seconds: list[float] = []
        self.left: float | None = None

    def stepped(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:  # noqa: ARG002
        """Notes a step. torch calls this after each step of each optimizer."""
        now = time.process_time()
        if os.getpid() != self.process or any(isinstance(v, torch.optim.Optimizer) for v in vars(optimizer).values()):
            return  # another process, or a wrapper around an optimizer, which notes its own step
        if self.left is not None:
            self.seconds.append(now - self.left)
        if not any(optimizer is known for known in self.optimizers):
            self.optimizers.append(optimizer)
            self.models += [m for m in models_of(optimizer) if not any(m is known for known in self.models)]
        self.digests.append(digest(p for group in optimizer.param_groups for p in group["params"]))
        self.generators.append(generators())
        if len(self.digests) == self.last:
            os.kill(self.process, signal.SIGINT)
        self.left = time.process_time()

    def save(self) -> None:
        """Writes the notes and the final states."""
        if os.getpid() != self.process:
            return
        models = self.models or roots(modules())
        if not models:
            return
        states = {f"{i} {type(m).__name__}": tensors(m.state_dict()) for i, m in enumerate(models)}
        states |= {f"{i} {type(o).__name__}": tensors(o.state_dict()) for i, o in enumerate(self.optimizers)}
        torch.save(states, self.folder / "states.pt")
        facts = {"digests": self.digests, "generators": self.generators, "seconds": self.seconds}
        (self.folder / "steps.json").write_text(json.dumps(facts))


def models_of(optimizer: torch.optim.Optimizer) -> list[torch.nn.Module]:
    """Returns the outermost modules that hold parameters of an optimizer."""
    own = {id(p) for group in optimizer.param_groups for p in group["params"]}
    return roots(m for m in modules() if any(id(p) in own for p in m.parameters()))


def modules() -> list[torch.nn.Module]:
    """Returns all modules of this process.

    ``isinstance`` is not used: it reads an attribute of every object, and some objects then give a warning.
    """
    return [object_ for object_ in gc.get_objects() if issubclass(type(object_), torch.nn.Module)]


def generators() -> str:
    """Returns the SHA-256 hash of the states of all random generators."""
    states = torch.get_rng_state().numpy().tobytes(), repr(random.getstate()), repr(np.random.get_state())  # noqa: NPY002
    return hashlib.sha256(repr(states).encode()).hexdigest()


def roots(found: Iterable[torch.nn.Module]) -> list[torch.nn.Module]:
    """Returns the modules that are not inside another of the modules."""
    found = [m for m in found if next(m.parameters(), None) is not None]
    inner = {id(child) for m in found for child in m.modules() if child is not m}
    return [m for m in found if id(m) not in inner]


def tensors(state: Any) -> dict[str, torch.Tensor]:
    """Returns path -> tensor for all tensors in nested dicts and lists."""
    found: dict[str, torch.Tensor] = {}

    def visit(place: str, value: Any) -> None:
        if isinstance(value, torch.Tensor):
            found[place] = value.detach().clone()
        elif isinstance(value, dict):
            for key, inner in value.items():
                visit(f"{place}/{key}", inner)
        elif isinstance(value, list | tuple):
            for index, inner in enumerate(value):
                visit(f"{place}/{index}", inner)

    visit("", state)
    return found


def digest(values: Iterable[torch.Tensor]) -> str:
    """Returns the SHA-256 hash of the bytes of tensors."""
    hashed = hashlib.sha256()
    for value in values:
        hashed.update(value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes() if value.dim() else b"")
        if not value.dim():
            hashed.update(repr(value.item()).encode())
    return hashed.hexdigest()


def watch(folder: str, last: int) -> None:
    """Begins to note the steps of this process.

    Args:
        folder: Folder for the notes.
        last: Number of the step after which the process is interrupted; 0 = never.
    """
    witness = Witness(folder, last)
    register_optimizer_step_post_hook(witness.stepped)
    atexit.register(witness.save)
