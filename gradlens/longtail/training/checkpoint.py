"""Checkpoints: everything from which a training goes on bit for bit, in one file that is never half written.

They hold tensors, numbers and text only and are read with ``weights_only=True``: opening one cannot run code.
"""

from __future__ import annotations

import os
import pickle
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gradlens.longtail.errors import LongTailError

FILE = "checkpoint.pt"
FORMAT = "gradlens-checkpoint-1"


class CheckpointError(LongTailError):
    """A checkpoint that cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class Checkpoint:
    """The state after an epoch.

    Attributes:
        identity: What the training was (recipe, task and seed); only an equal training may go on from it.
        phase: Index of the phase.
        epoch: Epochs of that phase that are done.
        step: Optimizer steps done in all.
        model: State dict of the network.
        modules: State dict of each module beside it.
        selected: [n] positions of the phase's training images.
        optimizer: State dict of the optimizer, empty in a phase without one.
        history: One row for each epoch so far.
    """

    identity: dict[str, Any]
    phase: int
    epoch: int
    step: int
    model: dict[str, Tensor]
    modules: dict[str, dict[str, Tensor]]
    selected: Tensor
    optimizer: dict[str, Any]
    history: list[dict[str, Any]]


def phase_file(index: int) -> str:
    """Returns the name of the checkpoint that is kept of the end of a phase (counted from 0), for others to branch off."""
    return f"checkpoint-phase-{index + 1}.pt"


def phase_files(folder: Path) -> list[Path]:
    """Returns the checkpoints of ends of phases that a folder keeps, the latest last."""
    return sorted(folder.glob("checkpoint-phase-*.pt"), key=lambda path: (len(path.name), path.name))


def save_checkpoint(folder: Path, checkpoint: Checkpoint, name: str = FILE) -> Path:
    """Writes a checkpoint of a run's folder; whoever reads it meanwhile gets the old one or the new one.

    Raises:
        OSError: The file system refuses; the old checkpoint is then as it was.
    """
    path = folder / name
    folder.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
    try:
        with open(handle, "wb") as file:
            # Not asdict(): it would copy every tensor.
            torch.save({"format": FORMAT} | {name: getattr(checkpoint, name) for name in _FIELDS}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        if os.path.exists(partial):
            os.unlink(partial)
        raise
    return path


def load_checkpoint(folder: Path, identity: dict[str, Any]) -> Checkpoint | None:
    """Reads the checkpoint of a run's folder, or returns None where there is none yet.

    Args:
        folder: The run's folder.
        identity: What the training at hand is.

    Raises:
        CheckpointError: A damaged file, something else, or the checkpoint of another training (says in what it differs).
    """
    path = folder / FILE
    if not path.exists():
        return None
    checkpoint = read_checkpoint(path)
    require_same(path, checkpoint.identity, identity)
    return checkpoint


def read_checkpoint(path: Path) -> Checkpoint:
    """Reads a checkpoint of any training.

    Raises:
        CheckpointError: A damaged file or something else.
    """
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
        # Its first sentence only: PyTorch goes on to recommend what would run code from the file.
        reason = str(error).splitlines()[0].split(". ")[0] if str(error) else type(error).__name__
        earlier = [file for file in phase_files(path.parent) if file != path]
        remedy = f"copy {earlier[-1]} over it and resume" if earlier else "delete it and train anew"
        raise CheckpointError(
            f"{path} is damaged or cut short ({reason}); {remedy}, or put a copy of it back"
        ) from error
    if not isinstance(stored, dict) or stored.get("format") != FORMAT or not set(_FIELDS) <= set(stored):
        raise CheckpointError(f"{path} is no checkpoint of this version of gradlens ({FORMAT}); train anew")
    return Checkpoint(**{name: stored[name] for name in _FIELDS})


def require_same(path: Path, there: dict[str, Any], here: dict[str, Any]) -> None:
    """Makes sure that what a file holds is of the training at hand.

    Args:
        path: The file.
        there: Identity of the training that wrote it.
        here: Identity of the training at hand.

    Raises:
        CheckpointError: It is of another one; says in what they differ.
    """
    differences = [
        f"{key}: {there.get(key, 'absent')} there, {here.get(key, 'absent')} here"
        for key in dict.fromkeys([*there, *here])
        if there.get(key) != here.get(key)
    ]
    if differences:
        raise CheckpointError(
            f"{path} belongs to another training ({'; '.join(differences[:5])}"
            f"{'; ...' if len(differences) > 5 else ''}); resume with the settings of the first start, or give another "
            "folder"
        )


_FIELDS = tuple(Checkpoint.__dataclass_fields__)
