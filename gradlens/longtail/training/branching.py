"""Branching: a training starts from the checkpoint of another one at the end of a phase, if both are the same up to there.

So trainings that only differ in a later phase (the size of a memory, the weight of a loss) share their first phases.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import torch

from gradlens.longtail.methods import find_method
from gradlens.longtail.networks.network import Network
from gradlens.longtail.recipe.learner import derived_seed
from gradlens.longtail.recipe.phases import TrainingPhase
from gradlens.longtail.recipe.recipe import LATER, Recipe
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
    """Returns the checkpoint from which a training can branch off an earlier one, for ``fit(start=...)``.

    It is the checkpoint at the end of the last phase that both have in common. The training then ends bit for bit as if it had
    trained everything itself. To find out what is in common, the recipe of the earlier training is made anew from its
    checkpoint. Then the newly initialised networks and the phases of both recipes are compared part by part.

    Args:
        source: Folder of the earlier training, with ``checkpoint-phase-N.pt``, or with a ``checkpoint.pt`` from the end of a
            phase.
        recipe: Recipe of the new training.
        task: Task of both trainings.
        seed: Seed of both trainings.
        max_steps: ``max_steps`` of both trainings, see ``fit``.

    Raises:
        CheckpointError: The folder has no such checkpoint; it has another task, seed or ``max_steps``; or the trainings differ
            before the end of its phase.
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
    """Returns path and content of a checkpoint.

    It is that of the last phase, among the first ``phases`` phases, that has one of its own; or else the latest checkpoint.

    Raises:
        CheckpointError: There is none, or it cannot be read.
    """
    for index in reversed(range(phases)):
        path = source / phase_file(index)
        if path.exists():
            return path, read_checkpoint(path)
    path = source / FILE
    if not path.exists():
        raise CheckpointError(f"{source} has neither {FILE} nor {phase_file(0)}; give the folder of a training")
    return path, read_checkpoint(path)


def _recipe_of(path: Path, stored: Checkpoint, task: Task, seed: int, max_steps: int | None) -> Recipe:
    """Returns the recipe of the training that wrote a checkpoint, made anew.

    Raises:
        CheckpointError: The checkpoint has another task, seed or ``max_steps``.
        LongTailError: Its method or a setting does not exist any more.
    """
    method = find_method(str(stored.identity.get("method")))
    values = {**LATER, **stored.identity}
    known = task.settings.plus(method.settings)
    recipe = method.on(task, {name: values[name] for name in known if name in values}, str(path))
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
