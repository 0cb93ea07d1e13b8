"""Starts a training and enters each of its phases, anew or from a checkpoint."""

from __future__ import annotations

import torch

from gradlens.longtail.recipe.learner import Learner, derived_seed
from gradlens.longtail.recipe.modes import choose_trainable
from gradlens.longtail.recipe.phases import TrainingPhase
from gradlens.longtail.recipe.processes import Processes, directly
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.task import Task
from gradlens.longtail.training.checkpoint import Checkpoint


def start_learner(recipe: Recipe, task: Task, seed: int, device: torch.device) -> Learner:
    """Returns the learner of a new training, with a newly initialised network and all images selected."""
    torch.manual_seed(derived_seed(seed, "network"))
    processes = Processes.here()
    model = processes.prepared(recipe.network().to(device))
    everything = torch.arange(len(task.train.labels))
    return Learner(model, task.train, task.counts, device, seed, everything, processes=processes)


def enter(
    index: int, phase: TrainingPhase, learner: Learner, stored: Checkpoint | None
) -> tuple[torch.optim.SGD | None, int]:
    """Enters a phase: gives the learner the structure and the values of the phase.

    The values are new ones, or those of a checkpoint that was made in this phase.

    Returns:
        The optimizer (None if nothing is trained) and the first epoch to run.
    """
    torch.manual_seed(derived_seed(learner.seed, "phase", index))
    learner.notes.clear()
    learner.run = directly  # the former wrapper must not keep the network's former parts alive
    if phase.structure is not None:
        phase.structure(learner)
        learner.model.to(learner.device)
    if stored is not None and index < stored.phase:
        return None, 0
    resumed = stored if stored is not None and index == stored.phase else None
    if resumed is not None:
        learner.model.load_state_dict(resumed.model)
        for name, module in learner.modules.items():
            module.load_state_dict(resumed.modules[name])
        learner.selected = resumed.selected
    else:
        if phase.initialise is not None:
            phase.initialise(learner)
        everything = torch.arange(len(learner.train.labels))
        chosen = everything if phase.select is None else phase.select(learner)
        learner.selected = learner.processes.as_the_first(chosen, learner.device)
    choose_trainable(learner.model, phase.trainable)
    if not phase.epochs:
        return None, 0
    learner.run = learner.processes.wrapped(learner.model)
    optimizer = phase.sgd.optimizer(learner.model)
    if resumed is not None:
        optimizer.load_state_dict(resumed.optimizer)
    return optimizer, resumed.epoch if resumed is not None else 0
