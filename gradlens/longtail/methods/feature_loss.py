"""The recipe of cross-entropy with a further loss on the features of a batch, as ``lifted`` and ``range`` have it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods.common import check_classes, not_negative, positive
from gradlens.longtail.methods.single_phase import one_phase, ordinary
from gradlens.longtail.methods.terms import cross_entropy
from gradlens.longtail.recipe.phases import LossOfStep, Step
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.settings import Setting, Settings
from gradlens.longtail.recipe.task import Task

OLTR = "Liu et al. 2019"
UNKNOWN = "the tables with it come from OLTR (Liu et al. 2019), which gives no settings"


@dataclass(frozen=True)
class FeatureLoss:
    """A loss on the features of a batch, with its weight.

    Attributes:
        weight: Its weight beside the cross-entropy.
        of: Maps [B, d] features and [B] labels to the loss, a scalar.
    """

    weight: float
    of: Callable[[Tensor, Tensor], Tensor]

    def __call__(self, step: Step) -> Tensor:
        """Returns the weighted loss of the batch, a scalar."""
        return self.weight * self.of(step.features, step.labels)


def settings_with(own: dict[str, Setting]) -> dict[str, Setting]:
    """Returns the settings of such a method.

    Args:
        own: The settings of its feature loss.
    """
    return {
        **own,
        "weight": Setting(0.01, f"{OLTR}: weight of the feature loss in their configs; none is of this loss"),
        **ordinary(OLTR),
        "sampler": Setting("class-aware", f"{OLTR}: ClassAwareSampler, 4 images in a row"),
    }


def with_feature_loss(method: str, task: Task, settings: Settings, of: Callable[[Tensor, Tensor], Tensor]) -> Recipe:
    """Returns the recipe of one phase with cross-entropy and a feature loss, which has the name of the method.

    Args:
        method: Name of the method.
        task: The task.
        settings: The settings of the data set, and those of ``settings_with``.
        of: See ``FeatureLoss``.

    Raises:
        LongTailError: There is a single class, the batch has no place for two, or a setting has a value that it cannot have.
    """
    check_classes(method, task)
    batch = positive(settings, "batch")
    if batch < 8:
        raise LongTailError(
            f"batch={batch}; {method} compares images of at least two classes, four of each: give a batch of at least 8"
        )
    recipe = one_phase(method, task, settings)
    losses: dict[str, LossOfStep] = {
        "classification": cross_entropy,
        method: FeatureLoss(not_negative(settings, "weight"), of),
    }
    return replace(recipe, phases=(replace(recipe.phases[0], losses=losses),))
