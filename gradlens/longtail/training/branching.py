"""Branching: a training that starts where another one, the same so far, was at the end of a phase.

Trainings that differ in a later phase only (the size of a memory, the weight of a loss) need their first phases once.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import torch

from gradlens.longtail.methods import find_method
from gradlens.longtail.networks.network import Network
from gradlens.longtail.recipe.learner import derived_seed
from gradlens.longtail.recipe.phases import TrainingPhase
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.task import Task
from gradlens.longtail.training.checkpoint import (
    FILE,
    Checkpoint,
    CheckpointError,
    phase_file,
    read_checkpoint,
    require_same,
)
from gradlens.longtail.training.fit import training_identity
from gradlens.longtail.training.sameness import same


def branch_point(
    source: Path | str, recipe: Recipe, task: Task, *, seed: int = 0, max_steps: int | None = None
) -> Checkpoint:
    """Returns the checkpoint of the last phase that a training has in common with an earlier one, for ``fit(start=...)``.

    The training then ends bit for bit as if it had trained everything itself. What is in common is not looked up in a
    list of settings: the recipe of the other training is made anew from its checkpoint, and the networks, freshly
    initialised from the seed, and the phases are compared part by part.

    Args:
        source: Folder of the other training, with ``checkpoint-phase-N.pt``, or with a ``checkpoint.pt`` from the end of a
            phase.
        recipe: Of the training at hand.
        task: Of both.
        seed: Of both.
        max_steps: Of both, see ``fit``.

    Raises:
        CheckpointError: The source has no such checkpoint, is of another task, seed or ``max_steps``, or differs in what has
            been trained so far.
    """
    path, stored = _end_of_a_phase(Path(source), len(recipe.phases) - 1)
    there = _recipe_of(path, stored, task, seed, max_steps)
    ended = stored.phase + 1
    if stored.epoch != there.phases[stored.phase].epochs or ended >= len(recipe.phases):
        raise CheckpointError(
            f"{path} is not from the end of a phase that another one follows; nothing can branch off it"
        )
    differences = [
        text for pair in zip(there.phases[:ended], recipe.phases[:ended], strict=True) for text in _differences(*pair)
    ]
    if not same(_fresh_network(there, seed), _fresh_network(recipe, seed)):
        differences.insert(0, "the network")
    if differences:
        raise CheckpointError(
            f"{path} cannot be branched off: up to the end of phase {there.phases[stored.phase].name!r} the trainings differ "
            f"in {', '.join(differences)}"
        )
    return stored


def _end_of_a_phase(source: Path, phases: int) -> tuple[Path, Checkpoint]:
    """Reads the checkpoint of the last of the first ``phases`` phases that has one of its own, else the latest."""
    for index in reversed(range(phases)):
        path = source / phase_file(index)
        if path.exists():
            return path, read_checkpoint(path)
    path = source / FILE
    if not path.exists():
        raise CheckpointError(f"{source} has neither {FILE} nor {phase_file(0)}; give the folder of a training")
    return path, read_checkpoint(path)


def _recipe_of(path: Path, stored: Checkpoint, task: Task, seed: int, max_steps: int | None) -> Recipe:
    """Makes the recipe of a checkpoint anew.

    Raises:
        CheckpointError: The checkpoint is of another task, seed or ``max_steps``, or its recipe cannot be made any more.
    """
    method = find_method(str(stored.identity.get("method")))
    known = task.settings.plus(method.settings)
    recipe = method.on(task, {name: stored.identity[name] for name in known if name in stored.identity}, str(path))
    require_same(path, stored.identity, training_identity(recipe, task, seed, max_steps))
    return recipe


def _fresh_network(recipe: Recipe, seed: int) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, "network"))
        return recipe.network()


def _differences(there: TrainingPhase, here: TrainingPhase) -> list[str]:
    return [
        f"{field.name.replace('_', ' ')} of phase {here.name!r}"
        for field in fields(TrainingPhase)
        if not same(getattr(there, field.name), getattr(here, field.name))
    ]
