"""Checkpoints: everything that a training needs to continue bit for bit, in one file that is never half written.

They only hold tensors, numbers and text, and are read with ``weights_only=True``, so that opening one cannot run code.
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
from gradlens.longtail.recipe.recipe import without_later

FILE = "checkpoint.pt"
FORMAT = "gradlens-checkpoint-1"


class CheckpointError(LongTailError):
    """A checkpoint cannot be used. The message says why and what to do."""


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training after an epoch.

    Attributes:
        identity: Recipe, task and seed of the training. Only a training with an equal identity may continue from it.
        phase: Index of the phase, counted from 0.
        epoch: Epochs of this phase that are done.
        step: Optimizer steps done in all phases.
        model: State dict of the network.
        modules: Name -> state dict, for each further module.
        selected: [n] positions of the phase's training images.
        optimizer: State dict of the optimizer; empty in a phase without one.
        history: A row for each epoch so far.
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
    """Returns the file name of the checkpoint at the end of a phase, from which other trainings can branch off.

    Args:
        index: Index of the phase, counted from 0.
    """
    return f"checkpoint-phase-{index + 1}.pt"


def phase_files(folder: Path) -> list[Path]:
    """Returns the checkpoints at the ends of phases in a folder, the latest last."""
    return sorted(folder.glob("checkpoint-phase-*.pt"), key=lambda path: (len(path.name), path.name))


def save_checkpoint(folder: Path, checkpoint: Checkpoint, name: str = FILE) -> Path:
    """Writes a checkpoint into a folder and returns its path. A reader gets the old or the new one, never a part.

    Raises:
        OSError: The file system refuses. The old checkpoint then stays as it was.
    """
    path = folder / name
    folder.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
    try:
        with open(handle, "wb") as file:
            # asdict() is not used, since it would copy every tensor.
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
    """Returns the checkpoint of a folder; None if it has none yet.

    Args:
        folder: The run's folder.
        identity: Identity of the training that is to continue.

    Raises:
        CheckpointError: The file is damaged, is no checkpoint, or belongs to another training. The message says in what
            they differ.
    """
    path = folder / FILE
    if not path.exists():
        return None
    checkpoint = read_checkpoint(path)
    require_same(path, checkpoint.identity, identity)
    return checkpoint


def read_checkpoint(path: Path) -> Checkpoint:
    """Returns a checkpoint of any training.

    Raises:
        CheckpointError: The file is damaged or is no checkpoint.
    """
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
        # Only the first sentence: the next ones recommend a setting with which the file could run code.
        reason = str(error).splitlines()[0].split(". ")[0] if str(error) else type(error).__name__
        earlier = [file for file in phase_files(path.parent) if file != path]
        remedy = f"copy {earlier[-1]} over it and resume" if earlier else "delete it and train again"
        raise CheckpointError(
            f"{path} is damaged or cut short ({reason}); {remedy}, or put a copy of it back"
        ) from error
    if not isinstance(stored, dict) or stored.get("format") != FORMAT or not set(_FIELDS) <= set(stored):
        raise CheckpointError(f"{path} is no checkpoint of this version of gradlens ({FORMAT}); train again")
    return Checkpoint(**{name: stored[name] for name in _FIELDS})


def require_same(path: Path, there: dict[str, Any], here: dict[str, Any]) -> None:
    """Checks that a file was written by an equal training.

    Args:
        path: The file.
        there: Identity of the training that wrote it. It may lack the settings of ``_computed_then``, and may have those of
            ``LATER``, which it holds if they came first and were listed there afterwards.
        here: Identity of the present training.

    Raises:
        CheckpointError: It belongs to another training. The message says in what they differ.
    """
    there = {key: value for key, value in _computed_then(there).items() if key in here} | without_later(there)
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


def _computed_then(identity: dict[str, Any]) -> dict[str, Any]:
    """Returns how a training computed before these were settings."""
    layout = "contiguous_format" if identity.get("data set") == "digits" else "channels_last"
    return {"precision": "float32", "memory_format": layout, "compile": False}


_FIELDS = tuple(Checkpoint.__dataclass_fields__)
