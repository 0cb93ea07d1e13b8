"""Trainings that are cut off after an epoch, and go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.task import Task
from gradlens.longtail.training.checkpoint import FILE
from gradlens.longtail.training.fit import fit
from tests.longtail.same_state import assert_same


class Cut(Exception):
    """The training is cut off here."""


def train_until(epoch: int, recipe: Recipe, task: Task, folder: Path) -> None:
    """Trains in a folder, and is cut off after an epoch, counted from 1."""

    def cut(row):
        if row["epoch"] == epoch:
            raise Cut

    with pytest.raises(Cut):
        fit(recipe, task, folder=folder, on_epoch=cut)


def checkpoint(folder: Path) -> dict[str, Any]:
    """Returns the content of a folder's last checkpoint."""
    return torch.load(folder / FILE, weights_only=True)


def resumed_is_whole(recipe: Recipe, task: Task, folder: Path, *epochs: int) -> dict[str, Any]:
    """Makes sure that a training that is cut off after any of these epochs ends as one that is not, bit for bit.

    Returns:
        The last checkpoint.
    """
    fit(recipe, task, folder=folder / "whole")
    whole = checkpoint(folder / "whole")
    for epoch in epochs:
        train_until(epoch, recipe, task, folder / f"cut {epoch}")
        fit(recipe, task, folder=folder / f"cut {epoch}", resume=True)
        assert_same(checkpoint(folder / f"cut {epoch}"), whole)
    return whole
