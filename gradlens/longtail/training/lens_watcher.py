"""``LensWatcher``: measures a training of several phases as one run."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gradlens.groups import ClassGroups
from gradlens.guards.warning import GradlensWarning
from gradlens.lens import Lens
from gradlens.longtail.recipe.learner import Learner
from gradlens.longtail.recipe.phases import Step, TrainingPhase
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.task import Task
from gradlens.longtail.training.combined_direction import EVENT
from gradlens.longtail.training.evaluation import NUMBERS
from gradlens.longtail.training.watching import Watching
from gradlens.measure.recorder import STEPPED
from gradlens.runlog import RunMeta, RunWriter
from gradlens.runlog.format.description import FILE, read_meta


class LensWatcher:
    """Measures a training with lenses. Each phase has its own lens, since network and optimizer change; all write one run."""

    def __init__(
        self,
        recipe: Recipe,
        task: Task,
        folder: Path,
        watching: Watching,
        *,
        seed: int,
        resume: bool,
        facts: dict[str, Any],
    ) -> None:
        """Prepares. The folder of the run is made when the first phase starts.

        Args:
            recipe: The recipe.
            task: The task.
            folder: The run's folder.
            watching: How often and how closely to measure.
            seed: Seed of the training.
            resume: True to continue the run in the folder.
            facts: Further facts for run.json.
        """
        self._recipe = recipe
        self._task = task
        self._folder = folder
        self._watching = watching
        self._resume = resume
        self._facts = {
            "seed": seed,
            "method": recipe.method,
            "dataset": task.name,
            "subset_hash": task.train.digest,
            "hyperparameters": recipe.settings.to_json(),
            **facts,
        }
        self._lens: Lens | None = None
        self._writer: RunWriter | None = None  # in a phase without a lens
        self._between = False  # whether this process writes the run, and a phase has ended and no other has begun
        self._step = 0
        self._phase: TrainingPhase | None = None
        self._epochs = 0

    def start_phase(
        self,
        phase: TrainingPhase,
        learner: Learner,
        optimizer: torch.optim.Optimizer | None,
        step: int,
        done: int,
    ) -> None:
        """See ``Watcher.start_phase``."""
        self._step, self._between = step, False
        if optimizer is None:
            if learner.processes.rank == 0:
                self._writer = self._without_a_lens()
            self._resume = True
            self.event("phase", name=phase.name)
            return
        steps = phase.steps(len(learner.selected)) * phase.epochs
        every = self._watching.every_in(steps)
        self._lens = Lens(
            learner.model,
            self._task.groups(),
            out=self._folder,
            optimizer=optimizer,
            every=every,
            budget=None if every is not None else self._watching.budget,
            # The hooks of other engines would not be called in compiled code.
            engine="masked" if learner.model.computing.compile else self._watching.engine,
            layers=self._watching.layers,
            update=self._watching.update,
            class_counts=self._class_counts(),
            meta=self._facts,
            resume=self._resume,
            announce=None if phase.combine is None else _announce,
        )
        self._resume = True
        self._phase = phase
        self._epochs = done
        self._lens.step = step
        self._lens.phase(phase.name)

    def start_epoch(self, epoch: int) -> None:
        """See ``Watcher.start_epoch``."""
        if self._lens is not None:
            self._lens.epoch = epoch

    def backward(self, losses: dict[str, Tensor], step: Step) -> None:
        """See ``Watcher.backward``."""
        assert self._lens is not None
        whole = len(self._recipe.components) == 1
        loss = next(iter(losses.values())) if whole else losses
        self._lens.backward(loss, step.measured_labels(), outputs=step.anchors, logits=step.own.logits)

    def combined(self, shares: Callable[[], dict[str, float]]) -> None:
        """See ``Watcher.combined``."""
        assert self._lens is not None
        if self._lens.armed and (found := shares()):
            self._lens.event(EVENT, shares=found)

    def end_epoch(self, row: dict[str, Any], learner: Learner) -> None:
        """See ``Watcher.end_epoch``."""
        accuracies = {name: row[name] for name in NUMBERS if name in row}
        split = next(iter(self._task.evaluations))
        if self._lens is None:
            if self._writer is not None:  # the last step that there was: see below
                self._writer.event(
                    "evaluation", max(self._step - 1, 0), epoch=row["epoch"] - 1, split=split, **accuracies
                )
            return
        assert self._phase is not None
        self._epochs += 1
        # The events of an epoch belong to its last step. A phase or a resumed training that starts at the next step replaces
        # everything that was logged from there on.
        self._lens.step -= 1
        try:
            self._lens.event("epoch", **{name: value for name, value in row.items() if name not in NUMBERS})
            if accuracies:
                self._lens.evaluation(split=split, **accuracies)
            if self._watching.probe_is_due(self._epochs, self._phase.epochs):
                # The batch size is that of training: larger batches would need more memory than the training itself.
                batches = learner.train.batches(learner.selected, self._phase.batch, augmented=False)
                classes = _classifier_width(learner)  # only the head's in phase I
                self._lens.probe(batches, ClassGroups.per_class(classes), label=f"epoch {row['epoch']}")
        finally:
            self._lens.step += 1

    def end_phase(self) -> None:
        """See ``Watcher.end_phase``. The lens is closed, since frozen copies of the network must not have its hooks.

        The run stays "running": who kills the training before its next phase must not find it finished.
        """
        self.close("running")
        self._between = self._writer is not None or (self._lens is not None and self._lens.run_path is not None)
        self._lens = self._writer = None

    def event(self, kind: str, **facts: Any) -> None:
        """See ``Watcher.event``."""
        if self._lens is not None:
            self._lens.event(kind, **facts)
        elif self._writer is not None:
            self._writer.event(kind, self._step, **facts)

    def close(self, status: str = "finished", reason: str | None = None) -> None:
        """Closes the run."""
        if self._lens is not None:
            self._lens.close(status, reason)
        elif self._writer is not None:
            self._writer.close(status, reason)
        elif self._between:
            self._without_a_lens().close(status, reason)

    def _without_a_lens(self) -> RunWriter:
        """Returns a writer that continues or starts the run in a phase without training, in which nothing is measured."""
        if self._resume and (self._folder / FILE).exists():
            return RunWriter(self._folder, read_meta(self._folder), resume=True)
        groups = self._task.groups().to_json()
        return RunWriter(self._folder, RunMeta.here(groups, class_counts=self._class_counts(), **self._facts))

    def _class_counts(self) -> tuple[float, ...]:
        return tuple(torch.bincount(self._task.train.labels, minlength=self._task.num_classes).tolist())


def _announce(message: str) -> None:
    """Warns as a lens does, but not that the gradient changes before the optimizer steps: this phase combines gradients."""
    if not message.startswith(STEPPED):
        warnings.warn(f"gradlens: {message}", GradlensWarning, stacklevel=3)


@torch.no_grad()
def _classifier_width(learner: Learner) -> int:
    learner.model.eval()
    images, _ = next(iter(learner.train.batches(learner.selected[:1], 1, augmented=False)))
    return int(learner.model(images).shape[1])
