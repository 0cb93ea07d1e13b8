"""Trains one epoch of a phase."""

from __future__ import annotations

import time
from functools import partial

import torch
from torch import Tensor

from gradlens.longtail.recipe.batch import Batch
from gradlens.longtail.recipe.learner import Learner, derived_seed
from gradlens.longtail.recipe.modes import set_modes
from gradlens.longtail.recipe.optimization import set_rates
from gradlens.longtail.recipe.phases import Step, TrainingPhase
from gradlens.longtail.recipe.visiting import PhaseProgress
from gradlens.longtail.training.divergence import LossWatch
from gradlens.longtail.training.watcher import Watcher


def train_epoch(
    index: int,
    phase: TrainingPhase,
    epoch: int,
    learner: Learner,
    optimizer: torch.optim.Optimizer,
    watcher: Watcher,
    max_steps: int | None,
) -> tuple[dict[str, float], int]:
    """Trains one epoch. Returns its mean losses and its seconds in one dictionary, and its number of steps."""
    started = time.perf_counter()
    progress = PhaseProgress(epoch, phase.epochs)
    processes = learner.processes
    own = (processes.rank,) if processes.rank else ()  # not used for the order, which all processes share
    seeds = {"order": derived_seed(learner.seed, "order", index, epoch)}
    seeds |= {what: derived_seed(learner.seed, what, index, epoch, *own) for what in ("forward", "augmentation")}
    torch.manual_seed(seeds["forward"])  # dropout
    generator = torch.Generator().manual_seed(seeds["forward"])
    order = phase.visiting(
        learner.train.labels[learner.selected], progress, torch.Generator().manual_seed(seeds["order"])
    )
    set_rates(optimizer, phase.schedule.factor(epoch, phase.epochs))
    set_modes(learner.model, phase.moving)
    watch = LossWatch(phase.name, epoch, learner.device)
    steps = 0
    positions, size = processes.share_of_batches(learner.selected[order], phase.batch)
    for images, labels in learner.train.batches(positions, size, augmented=True, seed=seeds["augmentation"]):
        if steps == max_steps:
            break
        part: Step = learner.run(partial(phase.forward, learner, progress, Batch(images, labels), generator))
        step = part.whole(min(phase.batch, len(order) - steps * phase.batch))
        losses: dict[str, Tensor] = {name: term(step) for name, term in phase.losses.items()}
        watch.add(losses, len(step.labels))
        watcher.backward(losses, step)
        optimizer.step()
        optimizer.zero_grad()
        steps += 1
    processes.share_buffers(learner.model)
    return {**watch.means(), "seconds": time.perf_counter() - started}, steps
