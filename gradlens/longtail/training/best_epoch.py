"""The best epoch of a training: the one with the highest overall accuracy on the first split of the task.

If the task has other splits (a test set beside a validation split), they are evaluated whenever an epoch is the best so far. So
the accuracy on the test set in the best epoch is known, and the choice has not seen the test set.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradlens.longtail.recipe.learner import BEST, Learner
from gradlens.longtail.recipe.task import Task
from gradlens.longtail.training.evaluation import SplitEvaluation, evaluate

OTHERS = "other_splits"


def numbers_of_epoch(learner: Learner, task: Task, history: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Evaluates the network after an epoch.

    Args:
        learner: The network.
        task: The task.
        history: The rows of the earlier epochs.

    Returns:
        The numbers on the first split; if they are the best so far, also split -> numbers for the other splits, as
        ``other_splits``.
    """
    first, *others = task.evaluations
    row: dict[str, Any] = dict(evaluated(learner, task, first).numbers)
    if others and row["overall"] > max((earlier["overall"] for earlier in history if "overall" in earlier), default=-1):
        row[OTHERS] = {split: evaluated(learner, task, split).numbers for split in others}
    return row


def best_row(history: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Returns the row with the highest overall accuracy, the earliest of several."""
    return max((row for row in history if "overall" in row), key=lambda row: row["overall"])


def keep_if_best(learner: Learner, task: Task, rows: Sequence[dict[str, Any]], *, last: bool) -> dict[str, Any]:
    """Keeps the network as the learner's module ``BEST`` if the present epoch is the best one of its phase so far.

    Args:
        learner: The network.
        task: The task.
        rows: The rows of the phase so far, that of the present epoch at the end.
        last: True if the phase ends with it.

    Returns:
        At the end of the phase, as ``chosen``, which epoch was kept, and on which split it was chosen (see ``tune``).
    """
    if "overall" not in rows[-1]:
        return {}
    best = best_row(rows)
    if best is rows[-1]:
        learner.modules[BEST].load_state_dict(learner.model.state_dict())
    first, *others = task.evaluations
    fact = {"setting": "kept_epoch", "value": best["epoch"], "split": first, "only_split": not others}
    return {"chosen": fact} if last else {}


def evaluated(learner: Learner, task: Task, split: str) -> SplitEvaluation:
    """Evaluates the network on a split of the task."""
    return evaluate(learner.model, task.evaluations[split], task.counts, learner.processes)
