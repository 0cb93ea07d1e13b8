"""Groups of classes as the tasks of a multi-task method: what ``pcgrad``, ``cagrad`` and ``gradvac`` share."""

from __future__ import annotations

from dataclasses import replace

from gradlens.groups import ClassGroups
from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods.common import check_classes, one_of
from gradlens.longtail.methods.single_phase import one_phase, ordinary
from gradlens.longtail.recipe.combiner import Combiner, GroupWeights
from gradlens.longtail.recipe.phases import LearnerChange
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.settings import Setting, Settings
from gradlens.longtail.recipe.task import Task

GROUPS = ("head-tail", "shots", "classes")
VECTORS = ("contributions", "means")
REDUCTIONS = ("sum", "mean")


def group_task_settings(source: str) -> dict[str, Setting]:
    """Returns the settings of a training whose tasks are groups of classes.

    Args:
        source: The paper of the method.
    """
    return {
        "groups": Setting("head-tail", "gradlens: the groups of its runs; the paper has tasks, no classes"),
        "vectors": Setting(
            "contributions",
            "gradlens: they sum to the gradient of the batch, so without conflict the training is that of ce",
        ),
        **ordinary(source),
    }


def class_groups(method: str, task: Task, settings: Settings) -> ClassGroups:
    """Returns the groups of the setting "groups": head and tail, many, medium and few, or each class by itself.

    Raises:
        LongTailError: The setting is unknown, or there are fewer than two groups or classes.
    """
    check_classes(method, task)
    kind = one_of(settings, "groups", GROUPS)
    if kind == "head-tail":
        return task.groups()
    groups = ClassGroups.shots(task.counts) if kind == "shots" else ClassGroups.per_class(task.num_classes)
    if len(groups) < 2:
        raise LongTailError(f"groups={kind!r} are one group on {task.name} ({groups.names[0]}); choose another kind")
    return groups


def reduces_to_mean(settings: Settings) -> bool:
    """Says whether the setting "reduction" is "mean" and not "sum".

    Raises:
        LongTailError: It is neither.
    """
    return one_of(settings, "reduction", REDUCTIONS) == "mean"


def combined_phase(
    method: str,
    task: Task,
    settings: Settings,
    weights: GroupWeights,
    *,
    by_layer: bool = False,
    structure: LearnerChange | None = None,
) -> Recipe:
    """Returns the recipe that trains all classes with cross-entropy and combines the gradients of the groups.

    Args:
        method: Name of the method.
        task: The task.
        settings: All settings.
        weights: How the gradients are combined.
        by_layer: True to combine each layer by itself.
        structure: Makes the state of ``weights``.

    Raises:
        LongTailError: A setting has a value that it cannot have, or there are fewer than two groups or classes.
    """
    means = one_of(settings, "vectors", VECTORS) == "means"
    combiner = Combiner(class_groups(method, task, settings), weights, means, by_layer)
    recipe = one_phase(method, task, settings)
    return replace(recipe, phases=tuple(replace(p, combine=combiner, structure=structure) for p in recipe.phases))
