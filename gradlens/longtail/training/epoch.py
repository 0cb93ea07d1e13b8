"""Trains one epoch of a phase."""

from __future__ import annotations

import time
from functools import partial

import torch
from torch import Tensor

from gradlens.guards.compiled import keep_buffers
from gradlens.longtail.recipe.learner import Learner, derived_seed
from gradlens.longtail.recipe.modes import set_modes
from gradlens.longtail.recipe.optimization import set_rates
from gradlens.longtail.recipe.phases import Step, TrainingPhase
from gradlens.longtail.recipe.visiting import PhaseProgress
from gradlens.longtail.training.combining import combined_backward
from gradlens.longtail.training.divergence import LossWatch
from gradlens.longtail.training.streams import batches_of_epoch
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
    own = (processes.rank,) if processes.rank else ()
    seed = derived_seed(learner.seed, "forward", index, epoch, *own)
    torch.manual_seed(seed)  # dropout
    generator = torch.Generator().manual_seed(seed)
    order = torch.Generator().manual_seed(derived_seed(learner.seed, "combine", index, epoch))  # of all processes
    set_rates(optimizer, phase.schedule.factor(epoch, phase.epochs))
    set_modes(learner.model, phase.moving)
    watch = LossWatch(phase.name, epoch, learner.device)
    if phase.combine is not None:
        keep_buffers()  # the graph of a step is used once for each group
    steps = 0
    for batch, rows in batches_of_epoch(index, phase, progress, learner):
        if steps == max_steps:
            break
        part: Step = learner.run(partial(phase.forward, learner, progress, batch, generator))
        step = part.whole(rows)
        losses: dict[str, Tensor] = {name: term(step) for name, term in phase.losses.items()}
        watch.add(losses, len(step.labels))
        if phase.combine is None:
            watcher.backward(losses, step)
        else:
            combined_backward(phase.combine, losses, step, watcher, order)
        optimizer.step()
        optimizer.zero_grad()
        steps += 1
    processes.share_buffers(learner.model)
    return {**watch.means(), "seconds": time.perf_counter() - started}, steps
