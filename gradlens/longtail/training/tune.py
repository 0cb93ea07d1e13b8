"""Chooses a setting of the classifier by the accuracy that each of its values gives."""

from __future__ import annotations

from typing import Any

import torch

from gradlens.longtail.recipe.learner import Learner
from gradlens.longtail.recipe.task import Task
from gradlens.longtail.recipe.tuning import Tuning
from gradlens.longtail.training.accuracy import shot_accuracies
from gradlens.longtail.training.evaluation import BATCH


@torch.no_grad()
def tune(tuning: Tuning, learner: Learner, task: Task) -> dict[str, Any]:
    """Evaluates each value on the task's first split, and gives the classifier the best one.

    The features are computed once. Afterwards the network is in eval mode.

    Returns:
        "setting" and its "value", the "split" on which it was chosen, and whether it is the "only_split", so that the accuracy on
        it is optimistic; the "tried" values, and their "accuracies" in percent.
    """
    model, processes = learner.model, learner.processes
    split, *others = task.evaluations
    images = task.evaluations[split]
    total = len(images.labels)
    own = torch.arange(total)[processes.share(total)]
    model.eval()
    batches = images.batches(own, BATCH, augmented=False) if len(own) else ()
    features = [model.embed(batch) for batch, _ in batches]
    accuracies = []
    for value in tuning.values:
        tuning.apply(model.classifier, value)
        none = torch.zeros(0, dtype=torch.int64, device=learner.device)
        told = torch.cat([none, *(model.classifier(batch).argmax(1) for batch in features)])
        accuracies.append(shot_accuracies(processes.gather(told, total).cpu(), images.labels, task.counts)["overall"])
    value = tuning.values[accuracies.index(max(accuracies))]
    tuning.apply(model.classifier, value)
    return {
        "setting": tuning.setting,
        "value": value,
        "split": split,
        "only_split": not others,
        "tried": list(tuning.values),
        "accuracies": accuracies,
    }
